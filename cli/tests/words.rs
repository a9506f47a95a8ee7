//! What the command prints: each file in `cmd/` lists commands and their output.

#[test]
fn the_words() {
    trycmd::TestCases::new().case("tests/cmd/*.md");
}
