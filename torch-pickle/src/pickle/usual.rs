//! A tensor as torch writes it, read at once.
//!
//! Nearly all tensors of a checkpoint are made by the same instructions, behind the function that
//! they call:
//!
//! ```text
//! ( ( 'storage' class 'key' location numel t Q  offset (sizes) (strides) requires_grad
//!     OrderedDict ) R t R
//! ```
//!
//! The machine makes a dozen values for them and drops all but one, which takes most of the time of
//! reading a pickle. Here the same is read without making any. What is different in the least is
//! left to the machine, with nothing done: it also says what is wrong.

use std::sync::Arc;

use super::call::Known;
use super::dialect::Persistent;
use super::machine::Machine;
use crate::error::Fault;
use crate::{
    DType, Dims, Node, NodeId, Storage, StorageId, StorageKey, StorageType, Tensor, TensorClass,
};

/// Most dimensions read here.
const FEW: usize = 8;

impl Machine<'_> {
    /// The tensor that the instructions behind a MARK make of a storage met for the first time, in
    /// place of the function on the stack. Gives what follows them; `None`, with nothing done, for
    /// any others.
    #[inline]
    pub(super) fn usual_tensor<'b>(&mut self, after: &'b [u8]) -> Result<Option<&'b [u8]>, Fault> {
        // Told cheaply for most other uses of a MARK.
        if after.first() != Some(&b'(') {
            return Ok(None);
        }
        let Some((storage, key, mut tensor, rest)) = self.read_usual(after) else {
            return Ok(None);
        };
        self.pass_text(key.as_bytes());
        tensor.storage = self.tree.add_storage(storage);
        self.storage_keys.added(self.tree.storages());
        let tensor = self.tree.add_tensor(tensor);
        let id = self.alloc(Node::Tensor(tensor))?;
        self.stack.pop();
        self.stack.push(id);
        Ok(Some(rest))
    }

    fn read_usual<'b>(&self, after: &'b [u8]) -> Option<(Storage, &'b str, Tensor, &'b [u8])> {
        let top = self.stack.last().filter(|_| self.stack.len() > self.base())?;
        if self.known(*top)? != Known::TensorV2 || !matches!(self.persistent, Persistent::Archive) {
            return None;
        }
        let mut code = Code { machine: self, rest: after };
        code.op(b'(')?;
        if !self.is_storage(code.fetched()?) {
            return None;
        }
        // The class and the location are those of the storage before.
        let (class, dtype) = self.storage_class?;
        let location = self.location.as_ref()?;
        if code.fetched()? != class {
            return None;
        }
        let text = code.text()?;
        code.is_text(location)?;
        let numel = code.count()?;
        code.made(b't')?;
        code.made(b'Q')?;
        let key = StorageKey::from(text);
        let storage = Storage { key, dtype, location: Arc::clone(location), numel };

        let offset = code.count()?;
        let (shape, stride) = (code.counts()?, code.counts()?);
        let requires_grad = match code.next()? {
            0x88 => true,
            0x89 => false,
            _ => return None,
        };
        if self.known(code.fetched()?)? != Known::OrderedDict {
            return None;
        }
        for op in [b')', b'R', b't'] {
            code.made(op)?;
        }
        // A PUT of the tensor is the machine's.
        code.op(b'R')?;
        let tensor = Tensor {
            storage: StorageId(0),
            dtype: match dtype {
                StorageType::Typed(dtype) => dtype,
                StorageType::Untyped => DType::UInt8,
            },
            shape,
            stride,
            offset,
            requires_grad,
            class: TensorClass::Tensor,
            conj: false,
            neg: false,
            hooks: None,
            state: None,
            quantizer: None,
        };
        let is_new = self.storage_keys.find(self.tree.storages(), &storage.key).is_none();
        let fits =
            tensor.shape.len() == tensor.stride.len() && tensor.check_bounds(&storage).is_ok();
        (is_new && fits).then_some((storage, text, tensor, code.rest))
    }
}

/// Instructions that are left. Each function reads those of one kind, and gives `None` for others.
struct Code<'m, 'a, 'b> {
    machine: &'m Machine<'a>,
    rest: &'b [u8],
}

impl<'b> Code<'_, '_, 'b> {
    #[inline]
    fn next(&mut self) -> Option<u8> {
        let (&code, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(code)
    }

    #[inline]
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (&bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(bytes)
    }

    #[inline]
    fn op(&mut self, code: u8) -> Option<()> {
        (self.next()? == code).then_some(())
    }

    /// An instruction that makes something, and the PUT that may stand behind it, if that does
    /// nothing.
    #[inline]
    fn made(&mut self, code: u8) -> Option<()> {
        self.op(code)?;
        self.put()
    }

    #[inline]
    fn put(&mut self) -> Option<()> {
        let (index, rest): (u32, _) = match self.rest {
            [b'q', index, rest @ ..] => ((*index).into(), rest),
            [b'r', a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]), rest),
            _ => return Some(()),
        };
        self.rest = rest;
        self.machine.is_idle(index.into()).then_some(())
    }

    /// GET: what is kept in the memo.
    #[inline]
    fn fetched(&mut self) -> Option<NodeId> {
        let index = match self.next()? {
            b'h' => self.next()?.into(),
            b'j' => u32::from_le_bytes(self.bytes()?),
            _ => return None,
        };
        self.machine.kept(index.into())
    }

    /// A GET of this text.
    #[inline]
    fn is_text(&mut self, text: &str) -> Option<()> {
        let id = self.fetched()?;
        matches!(self.machine.tree.node(id), Node::Str(s) if **s == *text).then_some(())
    }

    #[inline]
    fn text(&mut self) -> Option<&'b str> {
        self.op(b'X')?;
        let len = u32::from_le_bytes(self.bytes()?);
        let (text, rest) = self.rest.split_at_checked(len as usize)?;
        self.rest = rest;
        self.put()?;
        std::str::from_utf8(text).ok()
    }

    /// An integer that is not negative.
    #[inline]
    fn count(&mut self) -> Option<u64> {
        Some(match self.next()? {
            b'K' => self.next()?.into(),
            b'M' => u16::from_le_bytes(self.bytes()?).into(),
            b'J' => i32::from_le_bytes(self.bytes()?).try_into().ok()?,
            _ => return None,
        })
    }

    /// A tuple of them.
    #[inline]
    fn counts(&mut self) -> Option<Dims> {
        let mut all = [0; FEW];
        let mut len = 0;
        let is_marked = self.rest.first() == Some(&b'(');
        if is_marked {
            self.next()?;
        }
        while let Some(b'K' | b'M' | b'J') = self.rest.first() {
            *all.get_mut(len)? = self.count()?;
            len += 1;
        }
        let end = match (is_marked, len) {
            (false, 0) => b')',
            (false, 1..=3) => 0x84 + len as u8,
            (true, 1..) => b't',
            _ => return None,
        };
        self.made(end)?;
        Some(Dims::from(&all[..len]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use crate::pickle::{Dialect, machine};

    const FIRST: &[u8] = b"](ctorch._utils\n_rebuild_tensor_v2\nq\x02((X\x07\0\0\0storageq\x03\
        ctorch\nFloatStorage\nq\x04X\x01\0\0\x000X\x03\0\0\0cpuq\x05K\x08tQK\0K\x02K\x03\x86K\x03\
        K\x01\x86\x89ccollections\nOrderedDict\nq\x06)RtR";
    /// The same of another storage, with PUTs as torch has them.
    const SECOND: &[u8] =
        b"h\x02((h\x03h\x04X\x01\0\0\x001q\x07h\x05K\x08tq\x08QK\x01K\x01K\x03\x86q\x09\
        J\x03\0\0\0K\x02\x86r\x0a\0\0\0\x88";
    const CALL: &[u8] = b"h\x06)R";
    /// Hooks as good as an empty dict, and as long, which only the machine reads.
    const NONE: &[u8] = b"NK\x000";
    const LAST: &[u8] = b"q\x0btq\x0cRq\x0de.";

    /// What a pickle makes, or at which place it is refused for what.
    fn made(second: &[u8], hooks: &[u8]) -> Result<(Vec<Storage>, Vec<Tensor>), (u64, String)> {
        let bytes = [FIRST, second, hooks, LAST].concat();
        match machine::run(&bytes, &Limits::default(), Dialect::Archive) {
            Ok(loaded) => {
                // Which differ where a byte makes another value of what is called for them.
                let bare = |tensor: &Tensor| Tensor { hooks: None, ..tensor.clone() };
                let tensors = loaded.tree.tensors().iter().map(bare).collect();
                Ok((loaded.tree.storages().to_vec(), tensors))
            }
            Err(fault) => {
                let path = std::path::Path::new("");
                let e = fault.into_error(path, crate::Part::File);
                let at = match &e {
                    crate::Error::Format { offset, .. }
                    | crate::Error::Unsupported { offset, .. } => offset.unwrap_or(u64::MAX),
                    _ => u64::MAX,
                };
                Err((at, e.to_string()))
            }
        }
    }

    #[test]
    fn what_is_read_at_once_is_what_the_machine_makes() {
        let (storages, tensors) = made(SECOND, CALL).unwrap();
        assert_eq!(storages[1].key.number(), Some(1));
        assert_eq!((&tensors[1].shape[..], &tensors[1].stride[..]), (&[1, 3][..], &[3, 2][..]));
        assert!(tensors[1].requires_grad && tensors[1].offset == 1);
        // Each byte of it as any other: the same tensors, or the same refusal.
        let end = (FIRST.len() + SECOND.len()) as u64;
        let (mut taken, mut refused) = (0, 0);
        for i in 0..SECOND.len() {
            for byte in 0..=255 {
                let mut second = SECOND.to_vec();
                second[i] = byte;
                match (made(&second, CALL), made(&second, NONE)) {
                    (Ok(a), Ok(b)) => {
                        assert_eq!(a, b, "{i} {byte}");
                        taken += 1;
                    }
                    (Err(a), Err(b)) => {
                        // Behind it the two differ, and an instruction may reach there.
                        assert!(a == b || a.0.max(b.0) + 9 >= end, "{i} {byte}: {a:?} {b:?}");
                        refused += 1;
                    }
                    (a, b) => panic!("{i} {byte}: {a:?} {b:?}"),
                }
            }
        }
        assert!(taken > 256 && refused > 256, "{taken} {refused}");
    }

    #[test]
    fn a_storage_met_before_is_the_same() {
        let at = SECOND.windows(2).position(|w| w == b"1q").unwrap();
        let mut shared = SECOND.to_vec();
        shared[at] = b'0';
        let (storages, tensors) = made(&shared, CALL).unwrap();
        assert_eq!((storages.len(), tensors[1].storage), (1, StorageId(0)));
        assert_eq!(made(&shared, CALL), made(&shared, NONE));
    }
}
