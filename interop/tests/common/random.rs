//! Random objects.

use std::collections::HashSet;

use torch_pickle::{
    Construct, DType, Dict, Global, Node, NodeId, Object as PyObject, Tensor, TensorClass,
};

use super::{Object, below, next};

/// A random object: plain values, containers that share and contain each other, tensors of all
/// types that are asked for, views, parameters.
pub fn random_object(seed: u64, takes: fn(DType) -> bool) -> (Object, NodeId) {
    let mut rng = seed | 1;
    let mut o = Object::default();
    let mut pool: Vec<NodeId> = Vec::new();
    let mut keys: Vec<NodeId> = Vec::new();
    let mut used_keys = HashSet::new();
    let steps = 3 + below(&mut rng, 30);
    for _ in 0..steps {
        let r = &mut rng;
        let pick = |r: &mut u64, pool: &[NodeId]| pool[below(r, pool.len() as u64) as usize];
        let node = match below(r, 16) {
            0 => Node::None,
            1 => Node::Bool(below(r, 2) == 1),
            2 => Node::Int((next(r) as i64 - (1 << 31)) << below(r, 32)),
            3 => {
                let mut bytes: Vec<u8> = (0..9 + below(r, 300)).map(|_| next(r) as u8).collect();
                bytes.push(0x5a);
                Node::BigInt(bytes.into())
            }
            4 => Node::Float(f64::from_bits(next(r) << 32 | next(r))),
            5 => Node::Str(
                (0..below(r, 12))
                    .filter_map(|_| char::from_u32(next(r) as u32 % 0x11_0000))
                    .collect::<String>()
                    .into(),
            ),
            6 => Node::Bytes((0..below(r, 3000)).map(|_| next(r) as u8).collect()),
            7 => Node::ByteArray((0..below(r, 9)).map(|_| next(r) as u8).collect()),
            8 if !pool.is_empty() => {
                Node::Tuple((0..below(r, 6)).map(|_| pick(r, &pool)).collect())
            }
            9 if !pool.is_empty() => Node::List((0..below(r, 6)).map(|_| pick(r, &pool)).collect()),
            10 | 11 if !pool.is_empty() => {
                let items = (0..below(r, 6))
                    .filter_map(|_| {
                        let key = below(r, 40);
                        used_keys.insert(key).then_some(())?;
                        let key = match key % 4 {
                            0 => Node::Int(key as i64),
                            1 => Node::Str(format!("k.{}/{key}", key % 3).into()),
                            2 => Node::Float(key as f64 + 0.5),
                            _ => Node::Str(format!("k{}", key / 2).into()),
                        };
                        let key = o.tree.add(key);
                        keys.push(key);
                        Some((key, pick(r, &pool)))
                    })
                    .collect();
                let ordered = below(r, 2) == 1;
                let attributes = (ordered && below(r, 2) == 1).then(|| {
                    let key = o.tree.add(Node::Str("_metadata".into()));
                    let value = pick(r, &pool);
                    o.tree.add(Node::Dict(Dict { items: vec![(key, value)], ..Dict::default() }))
                });
                Node::Dict(Dict { ordered, items, attributes })
            }
            12 if !pool.is_empty() => {
                let callable =
                    o.tree.add(Node::Global(Box::new(Global::new("collections", "deque"))));
                let args = o.tree.add(Node::Tuple(Vec::new()));
                Node::Object(Box::new(PyObject {
                    construct: Construct::Call,
                    callable,
                    args,
                    kwargs: None,
                    state: None,
                    appended: (0..below(r, 4)).map(|_| pick(r, &pool)).collect(),
                    items: Vec::new(),
                }))
            }
            _ => {
                let tensor = random_tensor(&mut o, r, takes);
                let id = o.tree.add_tensor(tensor);
                Node::Tensor(id)
            }
        };
        pool.push(o.tree.add(node));
    }
    // A list that contains itself, at some distance.
    if below(&mut rng, 3) == 0 {
        let all: Vec<NodeId> = pool.clone();
        for &id in &all {
            if let Node::List(parts) = o.tree.node_mut(id) {
                parts.push(*all.last().unwrap());
                break;
            }
        }
    }
    let root =
        if below(&mut rng, 4) == 0 { *pool.last().unwrap() } else { o.tree.add(Node::List(pool)) };
    (o, root)
}

fn random_tensor(o: &mut Object, r: &mut u64, takes: fn(DType) -> bool) -> Tensor {
    // A view of a storage that is there already, every second time.
    let existing = o.tree.tensors().len() as u64;
    let mut tensor = if existing > 0 && below(r, 2) == 0 {
        let base = o.tree.tensors()[below(r, existing) as usize].clone();
        let mut view = base;
        view.class = TensorClass::Tensor;
        view.requires_grad = false;
        match below(r, 4) {
            0 => {}
            1 => {
                view.shape.reverse();
                view.stride.reverse();
            }
            2 if view.shape.first().is_some_and(|&n| n > 1) => {
                view.shape[0] -= 1;
                view.offset += view.stride[0];
            }
            _ => {
                view.shape = [3].iter().chain(view.shape.iter()).copied().collect();
                view.stride = [0].iter().chain(view.stride.iter()).copied().collect();
            }
        }
        view
    } else {
        let plain: Vec<DType> = DType::ALL
            .iter()
            .copied()
            .filter(|d| !d.name().starts_with('q') && takes(*d))
            .collect();
        let dtype = plain[below(r, plain.len() as u64) as usize];
        let shape: Vec<u64> = (0..below(r, 4)).map(|_| below(r, 5)).collect();
        let storage = o.storage(dtype, shape.iter().product::<u64>() + below(r, 2), next(r));
        Tensor::contiguous(storage, dtype, &shape)
    };
    if below(r, 4) == 0 {
        tensor.class = TensorClass::Parameter;
        tensor.requires_grad = below(r, 2) == 0;
    }
    tensor
}
