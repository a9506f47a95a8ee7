//! Evaluates operations for a program in another language: what `xtask/peers/check_host_ops.py`
//! drives.
//!
//! A request on stdin is a line of JSON, and the bytes of its inputs one after another:
//! `{"op": "add", "args": {}, "inputs": [{"dtype": "float32", "shape": [2], "strides": [1],
//! "offset": 0, "nbytes": 8}, {"scalar": "float", "value": "0.5"}, null]}`. The answer on stdout is
//! `{"outputs": [{"dtype": …, "shape": […], "nbytes": …}]}` and the bytes of the outputs in C order,
//! or `{"error": "…"}`. Bytes are in the machine's order.

mod elementwise;
mod gradients;
mod networks;
mod request;
mod whole;

use std::io::{self, BufRead, Read, Write};

use numpack_host_ops::Array;
use request::{Outcome, Request};
use serde_json::{Value, json};

fn evaluate(request: &Request) -> Outcome {
    let families: [fn(&Request) -> Option<Outcome>; 4] =
        [elementwise::evaluate, whole::evaluate, gradients::evaluate, networks::evaluate];
    families
        .into_iter()
        .find_map(|family| family(request))
        .unwrap_or_else(|| Err(format!("there is no operation {:?}", request.op)))
}

fn main() -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut line = String::new();
    while input.read_line(&mut line)? > 0 {
        let head: Value = serde_json::from_str(&line)?;
        let outcome = Request::read(&head, |bytes| input.read_exact(bytes))?
            .and_then(|request| evaluate(&request));
        let encoded = outcome.and_then(|arrays| encode(&arrays));
        match encoded {
            Ok((head, bytes)) => {
                writeln!(output, "{head}")?;
                output.write_all(&bytes)?;
            }
            Err(error) => writeln!(output, "{}", json!({ "error": error }))?,
        }
        output.flush()?;
        line.clear();
    }
    Ok(())
}

fn encode(arrays: &[Array]) -> Result<(Value, Vec<u8>), String> {
    let (mut heads, mut bytes) = (Vec::new(), Vec::new());
    for array in arrays {
        let own = array.to_bytes().map_err(|e| e.to_string())?;
        heads.push(json!({
            "dtype": array.dtype().name(), "shape": array.shape(), "nbytes": own.len(),
        }));
        bytes.extend(own);
    }
    Ok((json!({ "outputs": heads }), bytes))
}
