//! The checkpoint in `examples/`, written by torch, against what torch says of it.

mod common;

use numpack_interop::{
    FromTorch, NoProgress, Tensors, ToTorch, diff, from_torch_file, to_torch_file, verify,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn it_goes_there_and_back_and_is_what_torch_says() {
    let truth = std::fs::read(common::example().with_extension("truth.json")).unwrap();
    let truth: serde_json::Value = serde_json::from_slice(&truth).unwrap();
    let truth = truth["tensors"].as_array().unwrap();
    assert!(truth.len() > 20);

    let folder = tempfile::tempdir().unwrap();
    let (store, back) = (folder.path().join("s.npk"), folder.path().join("b.pt"));
    let report =
        from_torch_file(common::example(), &store, &FromTorch::new(), &mut NoProgress).unwrap();
    assert_eq!(report.warnings, [""; 0]);
    to_torch_file(&store, &back, &ToTorch::new(), &mut NoProgress).unwrap();
    let original = Tensors::open(common::example()).unwrap();
    for path in [&common::example(), &store, &back] {
        assert_eq!(verify(path).unwrap(), Default::default());
        let file = Tensors::open(path).unwrap();
        assert_eq!(diff(&original, &file, 5).unwrap(), []);
        let list = file.list().unwrap();
        assert_eq!(list.len(), truth.len());
        for (t, expected) in list.iter().zip(truth) {
            assert_eq!(t.name, expected["name"].as_str().unwrap());
            assert_eq!(t.dtype.name(), expected["dtype"].as_str().unwrap(), "{}", t.name);
            assert_eq!(serde_json::json!(t.shape[..]), expected["shape"], "{}", t.name);
            assert_eq!(hex(&file.sha256(t).unwrap()), expected["sha256"].as_str().unwrap());
        }
        // Who shares with whom is the same, whatever the storages are called.
        for i in 0..list.len() {
            for j in 0..i {
                assert_eq!(
                    list[i].storage == list[j].storage,
                    truth[i]["storage"] == truth[j]["storage"],
                    "{} and {}",
                    list[i].name,
                    list[j].name
                );
            }
        }
    }
}
