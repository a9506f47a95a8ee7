//! Every checkpoint of the shared folder against what torch says of it.

mod common;

use std::collections::{BTreeMap, HashMap};

use common::{check_error, fixtures};
use serde_json::Value;
use sha2::{Digest, Sha256};
use torch_pickle::{Checkpoint, Node, StorageId, TensorClass};

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect()
}

fn compare(name: &str, checkpoint: &Checkpoint, truth: &Value) -> usize {
    let tree = checkpoint.tree();
    let named = tree.named_tensors(1_000_000).unwrap();
    let expected = truth["tensors"].as_array().unwrap();
    let names: Vec<&str> = named.iter().map(|(n, _)| n.as_str()).collect();
    let wanted: Vec<&str> = expected.iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(names, wanted, "{name}: names");
    let is_module = truth["root"] == "module";
    let mut storages: HashMap<u64, StorageId> = HashMap::new();
    let mut back: HashMap<StorageId, u64> = HashMap::new();
    for ((tensor_name, node), t) in named.iter().zip(expected) {
        let context = format!("{name}: {tensor_name}");
        let Node::Tensor(id) = *tree.node(*node) else { panic!("{context}: no tensor") };
        let tensor = tree.tensor(id);
        assert_eq!(tensor.dtype.name(), t["dtype"].as_str().unwrap(), "{context}");
        assert_eq!(&*tensor.shape, numbers(&t["shape"]), "{context}: shape");
        assert_eq!(&*tensor.stride, numbers(&t["stride"]), "{context}: stride");
        assert_eq!(tensor.offset, t["storage_offset"].as_u64().unwrap(), "{context}: offset");
        let storage_id = t["storage_id"].as_u64().unwrap();
        assert_eq!(*storages.entry(storage_id).or_insert(tensor.storage), tensor.storage);
        assert_eq!(*back.entry(tensor.storage).or_insert(storage_id), storage_id, "{context}");
        let len = tree.storage(tensor.storage).nbytes().unwrap();
        assert_eq!(len, t["storage_nbytes"].as_u64().unwrap(), "{context}: storage");
        if !is_module {
            assert_eq!(tensor.requires_grad, t["requires_grad"].as_bool().unwrap(), "{context}");
            let parameter = tensor.class == TensorClass::Parameter;
            assert_eq!(parameter, t["parameter"].as_bool().unwrap(), "{context}");
        }
        let mut bytes = vec![0; tensor.nbytes().unwrap() as usize];
        checkpoint.read_into(id, &mut bytes).unwrap();
        assert_eq!(hex(&Sha256::digest(&bytes)), t["sha256"].as_str().unwrap(), "{context}: bytes");
        let mut streamed = Vec::new();
        checkpoint
            .stream(id, 0, &mut |piece| {
                streamed.extend_from_slice(piece);
                Ok(())
            })
            .unwrap();
        assert!(bytes == streamed, "{context}: streamed bytes");
        assert_eq!(tree.find(tensor_name).unwrap(), *node, "{context}: found by name");
    }
    assert!(tree.same_as(&tree.clone()), "{name}");
    named.len()
}

#[test]
fn each_file_reads_as_torch_reads_it() {
    let Some(folder) = fixtures() else { return };
    let truth = std::fs::read(folder.join("truth.json")).unwrap();
    let truth: serde_json::Map<String, Value> = serde_json::from_slice(&truth).unwrap();
    let (mut tensors, mut unknown) = (0, 0);
    let mut read: BTreeMap<String, usize> = BTreeMap::new();
    for (name, entry) in &truth {
        let path = folder.join(name);
        let opened = Checkpoint::open(&path);
        if entry.get("error").is_some() {
            if let Err(e) = opened {
                check_error(&e, &path);
            }
            unknown += 1;
            continue;
        }
        let checkpoint = opened.unwrap_or_else(|e| panic!("{e}"));
        tensors += compare(name, &checkpoint, entry);
        assert!(checkpoint.verify().is_empty(), "{name}: {:?}", checkpoint.verify());
        *read.entry(checkpoint.container().to_string()).or_default() += 1;
    }
    println!("files read: {read:?}; {tensors} tensors equal; {unknown} that torch cannot load");
    assert!(read.values().sum::<usize>() > 150 && tensors > 250);
}

#[test]
fn quantised_and_attributed_tensors() {
    let Some(folder) = fixtures() else { return };
    let open =
        |name: &str| Checkpoint::open(folder.join("generated-torch-2.15").join(name)).unwrap();
    for (name, parts) in [("q.pt", 3), ("qc.pt", 4)] {
        let checkpoint = open(name);
        let tensor = &checkpoint.tree().tensors().last().unwrap();
        let quantizer = tensor.quantizer.unwrap();
        assert!(matches!(checkpoint.tree().node(quantizer), Node::Tuple(p) if p.len() == parts));
    }
    let checkpoint = open("tattr.pt");
    assert!(checkpoint.tree().tensors()[0].state.is_some());
    let checkpoint = open("lin.pt");
    let root = checkpoint.tree().root().unwrap();
    let Node::Dict(dict) = checkpoint.tree().node(root) else { panic!() };
    assert!(dict.ordered && dict.attributes.is_some());
    for name in ["ts.pt", "us.pt"] {
        let checkpoint = open(name);
        let root = checkpoint.tree().root().unwrap();
        let Node::Storage(id) = *checkpoint.tree().node(root) else { panic!() };
        let mut bytes = vec![0; 16];
        checkpoint.read_storage_into(id, &mut bytes).unwrap();
        #[allow(unsafe_code)]
        // SAFETY: nobody changes the fixture.
        let map = unsafe { checkpoint.map() }.unwrap();
        assert_eq!(map.storage(id).unwrap(), bytes);
    }
    // Bytes swapped on the way, so a map of them is refused.
    let big = Checkpoint::open(folder.join("pytorch-reader/big_endian.pt")).unwrap();
    #[allow(unsafe_code)]
    // SAFETY: as above.
    let map = unsafe { big.map() }.unwrap();
    assert!(map.storage(StorageId(0)).is_err());
}

#[test]
fn sharing_of_containers_is_kept() {
    let Some(folder) = fixtures() else { return };
    let path = folder.join("generated-torch-2.15/shared_ordereddict.pt");
    let checkpoint = Checkpoint::open(path).unwrap();
    let tree = checkpoint.tree();
    assert_eq!(tree.find("model").unwrap(), tree.find("ema").unwrap());
    assert_eq!(tree.first_names().len(), 2);
}
