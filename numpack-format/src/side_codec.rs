//! Side information as bytes, and whether it makes sense.

use crate::dtype::DType;
use crate::error::{Error, Result, UPGRADE, format};
use crate::side::{ArrayNote, Float, Hex, Node, NodeRef, SideInfo, VERSION};
use serde::de::{Error as _, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::HashSet;
use std::fmt;
use std::path::Path;

const HINT: &str = "the arrays can still be read; write the object again to repair it";

#[derive(Serialize)]
struct Outgoing<'a> {
    libnumpack: u32,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    arrays: &'a [ArrayNote],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    nodes: &'a [Node],
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<NodeRef>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Incoming {
    #[serde(rename = "libnumpack")]
    _version: u32,
    #[serde(default)]
    arrays: Vec<ArrayNote>,
    #[serde(default)]
    nodes: Vec<Node>,
    root: Option<NodeRef>,
}

/// Only the version, whatever else there is.
#[derive(Deserialize)]
struct Version {
    libnumpack: u32,
}

impl SideInfo {
    /// The bytes of the array that holds it: compact JSON, with the version. An index that is out
    /// of range, or two notes on one array, are an error.
    ///
    /// ```
    /// use numpack_format::side::{Node, SideInfo};
    ///
    /// // The list [None, <itself>].
    /// let side = SideInfo { nodes: vec![Node::List(vec![1, 0]), Node::None], root: Some(0), ..SideInfo::default() };
    /// let bytes = side.encode()?;
    /// assert_eq!(bytes, br#"{"libnumpack":1,"nodes":[{"list":[1,0]},"none"],"root":0}"#);
    /// assert_eq!(SideInfo::decode(&bytes)?, side);
    /// # Ok::<(), numpack_format::Error>(())
    /// ```
    pub fn encode(&self) -> Result<Vec<u8>> {
        encode(self)
    }

    /// Reads such bytes. A newer version is [`Error::Unsupported`].
    pub fn decode(bytes: &[u8]) -> Result<SideInfo> {
        decode(bytes, Path::new(crate::side::ARRAY_NAME))
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.arrays.is_empty() && self.nodes.is_empty() && self.root.is_none()
    }
}

/// The side information as the bytes of its array.
pub(crate) fn encode(side: &SideInfo) -> Result<Vec<u8>> {
    check(side).map_err(|problem| {
        Error::parameter(None, format!("the side information is inconsistent: {problem}"))
    })?;
    serde_json::to_vec(&Outgoing {
        libnumpack: VERSION,
        arrays: &side.arrays,
        nodes: &side.nodes,
        root: side.root,
    })
    .map_err(|e| {
        Error::parameter(None, format!("the side information cannot be written as JSON: {e}"))
    })
}

/// Reads the bytes of the array.
pub(crate) fn decode(bytes: &[u8], file: &Path) -> Result<SideInfo> {
    let fail = |problem: String| {
        let mut e = format(file, None, problem);
        if let Error::Format { hint, .. } = &mut e {
            *hint = HINT;
        }
        e
    };
    let version: Version = serde_json::from_slice(bytes)
        .map_err(|e| fail(format!("expected side information in JSON: {e}")))?;
    if version.libnumpack > VERSION {
        let problem = format!(
            "the side information has version {}, only {VERSION} is known",
            version.libnumpack
        );
        return Err(Error::Unsupported {
            file: file.to_owned(),
            array: None,
            offset: None,
            problem,
            hint: UPGRADE,
        });
    }
    if version.libnumpack != VERSION {
        return Err(fail(format!(
            "the side information has version {}, expected {VERSION}",
            version.libnumpack
        )));
    }
    let read: Incoming = serde_json::from_slice(bytes)
        .map_err(|e| fail(format!("expected side information in JSON: {e}")))?;
    let side = SideInfo { arrays: read.arrays, nodes: read.nodes, root: read.root };
    check(&side).map_err(fail)?;
    Ok(side)
}

/// Why a note does not fit an array of this type and stored shape.
pub(crate) fn misfit(note: &ArrayNote, dtype: DType, stored: &[u64]) -> Option<String> {
    if note.stored != dtype.code() {
        return Some(format!(
            "it is about elements of code {}, the array has {dtype}",
            note.stored
        ));
    }
    let trailing = stored.get(1..).unwrap_or_default();
    if note.trailing != trailing {
        return Some(format!(
            "it is about trailing dimensions {:?}, the array has {trailing:?}",
            note.trailing
        ));
    }
    if note.scalar && stored != [1] {
        return Some(format!("it is about a 0-d array, the array has shape {stored:?}"));
    }
    None
}

/// Checks every index, in one pass.
fn check(side: &SideInfo) -> Result<(), String> {
    let mut names = HashSet::with_capacity(side.arrays.len());
    let mut there = side.arrays.iter().filter(|n| !n.dropped);
    if let Some(twin) = there.find(|n| !names.insert(&n.name)) {
        return Err(format!("array {:?} has two notes", twin.name));
    }
    let nodes = side.nodes.len();
    let node = |i: &NodeRef| {
        if (*i as usize) < nodes {
            Ok(())
        } else {
            Err(format!("node {i} is out of range, there are {nodes}"))
        }
    };
    let array = |i: u32| {
        if (i as usize) < side.arrays.len() {
            Ok(())
        } else {
            Err(format!("array {i} is out of range, there are {}", side.arrays.len()))
        }
    };
    let pairs = |p: &[(NodeRef, NodeRef)]| p.iter().try_for_each(|(k, v)| node(k).and(node(v)));
    let some = |i: &Option<NodeRef>| i.iter().try_for_each(node);
    some(&side.root)?;
    for n in &side.nodes {
        match n {
            Node::None
            | Node::Bool(_)
            | Node::Int(_)
            | Node::BigInt(_)
            | Node::Float(_)
            | Node::Str(_) => {}
            Node::SurrogateStr(_) | Node::Bytes(_) | Node::ByteArray(_) | Node::Global(..) => {}
            Node::BytesIn(a) | Node::Storage(a, _) => array(*a)?,
            Node::Tuple(items) | Node::List(items) | Node::Set(items) | Node::FrozenSet(items) => {
                items.iter().try_for_each(node)?;
            }
            Node::Dict(items) => pairs(items)?,
            Node::OrderedDict(items, attributes) => pairs(items).and(some(attributes))?,
            Node::Tensor(t) => {
                array(t.array)?;
                some(&t.hooks).and(some(&t.state)).and(some(&t.quantizer))?;
                if let Some(v) = &t.view
                    && v.shape.len() != v.stride.len()
                {
                    return Err(format!(
                        "a view has {} dimensions and {} strides",
                        v.shape.len(),
                        v.stride.len()
                    ));
                }
            }
            Node::Object(o) => {
                node(&o.callable).and(node(&o.args)).and(some(&o.kwargs)).and(some(&o.state))?;
                o.appended.iter().try_for_each(node)?;
                pairs(&o.items)?;
            }
        }
    }
    Ok(())
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?)).collect()
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&to_hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Hex, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Hex;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an even number of hexadecimal digits")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Hex, E> {
                from_hex(text)
                    .map(Hex)
                    .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        d.deserialize_str(Digits)
    }
}

impl Serialize for Float {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() {
            s.serialize_f64(self.0)
        } else {
            s.serialize_str(&to_hex(&self.0.to_bits().to_be_bytes()))
        }
    }
}

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Float, D::Error> {
        struct NumberOrBits;
        impl Visitor<'_> for NumberOrBits {
            type Value = Float;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or sixteen hexadecimal digits")
            }

            fn visit_f64<E>(self, v: f64) -> Result<Float, E> {
                Ok(Float(v))
            }

            fn visit_u64<E>(self, v: u64) -> Result<Float, E> {
                Ok(Float(v as f64))
            }

            fn visit_i64<E>(self, v: i64) -> Result<Float, E> {
                Ok(Float(v as f64))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Float, E> {
                let bits = from_hex(text).and_then(|b| b.try_into().ok());
                bits.map(|b| Float(f64::from_bits(u64::from_be_bytes(b))))
                    .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        d.deserialize_any(NumberOrBits).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::side::{Object, Tensor, View};

    fn trip(side: &SideInfo) -> SideInfo {
        decode(&encode(side).unwrap(), Path::new("s")).unwrap()
    }

    #[test]
    fn floats_keep_their_bits() {
        let nan = f64::from_bits(0x7ff8_dead_beef_0001);
        let all = [
            0.0,
            -0.0,
            1.0,
            -3.0,
            0.1,
            1e300,
            5e-324,
            f64::MAX,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            nan,
            -nan,
            9_007_199_254_740_993.0,
            1e22,
        ];
        let side =
            SideInfo { nodes: all.map(|f| Node::Float(Float(f))).to_vec(), ..SideInfo::default() };
        assert_eq!(trip(&side), side);
    }

    #[test]
    fn every_kind_of_node() {
        let side = SideInfo {
            arrays: vec![ArrayNote {
                name: "w".into(),
                stored: 2,
                trailing: vec![3],
                dtype: Some("bfloat16".into()),
                hidden: true,
                modified: Some(-1),
                ..ArrayNote::default()
            }],
            nodes: vec![
                Node::None,
                Node::Bool(true),
                Node::Int(i64::MIN),
                Node::BigInt(Hex(vec![0, 255, 16])),
                Node::Str("\u{0}\"é".into()),
                Node::SurrogateStr(Hex(vec![0xed, 0xa0, 0x80])),
                Node::Bytes(Hex(vec![])),
                Node::BytesIn(0),
                Node::ByteArray(Hex(vec![1])),
                Node::Tuple(vec![0, 10]),
                Node::List(vec![10]),
                Node::Dict(vec![(0, 1)]),
                Node::OrderedDict(vec![(0, 1)], Some(2)),
                Node::Set(vec![]),
                Node::FrozenSet(vec![2]),
                Node::Global("a".into(), "b".into()),
                Node::Tensor(Box::new(Tensor {
                    view: Some(View {
                        dtype: "float32".into(),
                        shape: vec![1],
                        stride: vec![0],
                        offset: 7,
                    }),
                    state: Some(1),
                    ..Tensor::default()
                })),
                Node::Storage(0, None),
                Node::Object(Box::new(Object {
                    construct: "call".into(),
                    callable: 15,
                    args: 9,
                    kwargs: None,
                    state: Some(0),
                    appended: vec![1],
                    items: vec![(1, 2)],
                })),
            ],
            root: Some(18),
        };
        assert_eq!(trip(&side), side);
        assert_eq!(trip(&SideInfo::default()), SideInfo::default());
    }

    #[test]
    fn indices_are_checked() {
        let bad = [
            Node::List(vec![1]),
            Node::Dict(vec![(0, 1)]),
            Node::BytesIn(0),
            Node::Storage(9, None),
            Node::Tensor(Box::default()),
            Node::OrderedDict(vec![], Some(1)),
        ];
        for node in bad {
            let side = SideInfo { nodes: vec![node], ..SideInfo::default() };
            assert!(encode(&side).is_err());
            let json = format!(
                "{{\"libnumpack\":1,\"nodes\":{}}}",
                serde_json::to_string(&side.nodes).unwrap()
            );
            assert!(
                decode(json.as_bytes(), Path::new("s"))
                    .unwrap_err()
                    .to_string()
                    .contains("out of range"),
                "{json}"
            );
        }
        assert!(encode(&SideInfo { root: Some(0), ..SideInfo::default() }).is_err());
    }

    #[test]
    fn versions_and_rubbish() {
        let say = |s: &str| decode(s.as_bytes(), Path::new("s")).unwrap_err().to_string();
        assert!(say("{\"libnumpack\":2,\"new\":[]}").contains("upgrade"));
        assert!(say("{\"libnumpack\":1,\"new\":[]}").contains("unknown field"));
        assert!(say("{\"libnumpack\":1}x").contains("JSON"));
        assert!(say("").contains("JSON"));
        assert!(say("{\"libnumpack\":1,\"nodes\":[{\"bytes\":\"0g\"}]}").contains("hexadecimal"));
        say(&"[".repeat(100_000));
    }

    #[test]
    fn a_long_chain_costs_no_stack() {
        let n = 300_000;
        let side = SideInfo {
            nodes: (0..n).map(|i| Node::List(vec![(i + 1) % n])).collect(),
            root: Some(0),
            ..SideInfo::default()
        };
        assert_eq!(trip(&side), side);
    }
}
