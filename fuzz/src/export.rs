//! Archives of `torch.export` around the descriptions of an input.

use crate::zip::{Method, Zip, checkpoint};

/// An archive of one model: the first byte says of which kind, and the rest is cut, at bytes of
/// 255, into what describes its weights, what describes its constants, and a pickle. Records `0`
/// to `3` have 0, 8, 64 and 4096 bytes, and `p` is a checkpoint around the pickle.
pub fn export(input: &[u8]) -> Vec<u8> {
    let (&kind, rest) = input.split_first().unwrap_or((&0, &[]));
    let mut parts = rest.splitn(3, |&b| b == 255);
    let mut next = || parts.next().unwrap_or_default();
    let (weights, constants, pickle) = (next(), next(), next());
    let object = checkpoint(pickle);
    if kind % 4 == 3 {
        return Zip::new()
            .add("serialized_exported_program.json", Method::Stored, b"{}")
            .add("serialized_state_dict.pt", Method::Stored, &object)
            .add("serialized_constants.pt", Method::Stored, constants)
            .add("version", Method::Stored, b"8.8")
            .finish();
    }
    let method = if kind % 4 == 2 { Method::Deflated } else { Method::Stored };
    let content: Vec<u8> = (0..4096u32).map(|i| (i % 251) as u8).collect();
    let mut zip = Zip::new();
    for folder in ["weights", "constants"] {
        for (name, len) in [("0", 0), ("1", 8), ("2", 64), ("3", 4096)] {
            let kinds = ["weight_", "tensor_"];
            let name = format!("m/data/{folder}/{}{name}", kinds[usize::from(folder != "weights")]);
            zip = zip.add(&name, Method::Stored, &content[..len]);
        }
    }
    zip = zip
        .add("m/data/weights/p", Method::Stored, &object)
        .add("m/data/constants/tensor_p", Method::Stored, &object)
        .add("m/data/constants/custom_obj_p", Method::Stored, &object)
        .add("m/data/constants/opaque_obj_p", Method::Stored, pickle);
    zip = if kind % 4 == 1 {
        zip.add("m/data/aotinductor/a/weights_config.json", Method::Stored, weights)
    } else {
        zip.add("m/data/weights/a_weights_config.json", method, weights)
            .add("m/data/constants/a_constants_config.json", method, constants)
            .add("m/models/a.json", Method::Stored, b"{}")
    };
    zip.add("m/archive_format", Method::Stored, b"pt2")
        .add("m/archive_version", Method::Stored, b"0")
        .add("m/byteorder", Method::Stored, if kind < 128 { b"little" } else { b"big" })
        .add("m/.data/version", Method::Stored, b"6\n")
        .finish()
}
