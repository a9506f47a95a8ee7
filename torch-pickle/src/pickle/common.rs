//! The few instructions that make up nearly all of a checkpoint, run as they are decoded.
//!
//! Each of them does what [`Machine::step`] does for the [`Op`](super::op::Op) it stands for. What
//! is gained is that no `Op` is built to be taken apart again, which would cost as much as the
//! instruction itself.

use super::machine::Machine;
use crate::error::Fault;

impl Machine<'_> {
    /// Runs instructions up to the next one of another kind, or one that is cut off.
    pub(super) fn run_common(&mut self) -> Result<(), Fault> {
        let (from, bytes) = (self.reader.at(), self.reader.rest());
        let mut rest = bytes;
        while let [code, after @ ..] = rest {
            self.start = from + (bytes.len() - rest.len()) as u64;
            rest = match *code {
                // PUT and GET
                b'q' => {
                    let Some((&index, after)) = after.split_first() else { break };
                    self.put(index.into())?;
                    after
                }
                b'r' => {
                    let Some((&index, after)) = after.split_first_chunk() else { break };
                    self.put(u32::from_le_bytes(index).into())?;
                    after
                }
                b'h' => {
                    let Some((&index, after)) = after.split_first() else { break };
                    self.get(index.into())?;
                    after
                }
                b'j' => {
                    let Some((&index, after)) = after.split_first_chunk() else { break };
                    self.get(u32::from_le_bytes(index).into())?;
                    after
                }
                // Integers of one, two and four bytes
                b'K' => {
                    let Some((&n, after)) = after.split_first() else { break };
                    self.push_int(n.into())?;
                    after
                }
                b'M' => {
                    let Some((&n, after)) = after.split_first_chunk() else { break };
                    self.push_int(u16::from_le_bytes(n).into())?;
                    after
                }
                b'J' => {
                    let Some((&n, after)) = after.split_first_chunk() else { break };
                    self.push_int(i32::from_le_bytes(n).into())?;
                    after
                }
                // BINUNICODE
                b'X' => {
                    let Some((&n, after)) = after.split_first_chunk() else { break };
                    let text = after.split_at_checked(u32::from_le_bytes(n) as usize);
                    let Some((text, after)) = text else { break };
                    self.push_text(text)?;
                    after
                }
                b'(' => match self.usual_tensor(after)? {
                    Some(after) => after,
                    None => {
                        self.push_mark();
                        after
                    }
                },
                b't' => {
                    let from = self.mark()?;
                    match self.called_at_once(from, after)? {
                        Some(after) => after,
                        None => {
                            self.tuple_from(from)?;
                            after
                        }
                    }
                }
                b')' => {
                    self.push_empty_tuple()?;
                    after
                }
                0x85..=0x87 => {
                    self.short_tuple(usize::from(code - 0x84))?;
                    after
                }
                // NEWTRUE and NEWFALSE
                0x88 | 0x89 => {
                    self.push_bool(*code == 0x88)?;
                    after
                }
                b'Q' => {
                    self.persistent_top()?;
                    after
                }
                b'R' => {
                    self.reduce_top()?;
                    after
                }
                _ => break,
            };
        }
        self.reader.skip(bytes.len() - rest.len());
        Ok(())
    }

    /// A storage or tensor made of the tuple of what stands on the stack from `from` on, where
    /// `after` begins with the call: nothing else sees that tuple, so it need not be made. Gives
    /// what follows the call; `None`, with nothing done, for any other use of the tuple.
    fn called_at_once<'b>(
        &mut self,
        from: usize,
        after: &'b [u8],
    ) -> Result<Option<&'b [u8]>, Fault> {
        let call = match after {
            [b'q', index, call @ ..] if self.is_idle(u64::from(*index)) => call,
            [b'r', a, b, c, d, call @ ..]
                if self.is_idle(u32::from_le_bytes([*a, *b, *c, *d]).into()) =>
            {
                call
            }
            other => other,
        };
        let Some((code, rest)) = call.split_first() else { return Ok(None) };
        // Where the call stands, for errors; a tuple that is made after all sets it again.
        let here = self.start;
        self.start = here + 1 + (after.len() - call.len()) as u64;
        let made = match code {
            b'Q' => self.storage_of(from)?,
            b'R' => self.tensor_of(from)?,
            _ => None,
        };
        match made {
            Some(id) => self.stack.push(id),
            None => self.start = here,
        }
        Ok(made.map(|_| rest))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::error::Fault;
    use crate::error::Part;
    use crate::pickle::{Dialect, machine};
    use crate::{Error, Limits, Node, Storage, StorageId, Tree};

    fn run(bytes: &[u8]) -> Result<Tree, Fault> {
        machine::run(bytes, &Limits::default(), Dialect::Archive).map(|loaded| loaded.tree)
    }

    const ID: &[u8] =
        b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04t";

    #[test]
    fn arguments_are_kept_where_they_are_met_again() {
        // [persistent_load(id)], and the same with the id behind it.
        let forms: [(&[u8], &[u8], usize); 3] =
            [(b"Q", b"", 1), (b"q\x05Q", b"", 1), (b"q\x05Q", b"ah\x05", 2)];
        for (call, more, count) in forms {
            let bytes = [b"]", ID, call, more, b"a."].concat();
            let tree = run(&bytes).unwrap();
            let Some(Node::List(items)) = tree.root().map(|root| tree.node(root)) else { panic!() };
            assert_eq!(items.len(), count);
            assert_eq!(*tree.node(items[0]), Node::Storage(StorageId(0)));
            let Storage { key, numel, .. } = tree.storage(StorageId(0));
            assert_eq!((key.number(), *numel), (Some(0), 4));
            let Some(&id) = items.get(1) else { continue };
            let Node::Tuple(parts) = tree.node(id) else { panic!() };
            assert_eq!(*tree.node(parts[2]), Node::Str("0".into()));
        }
    }

    #[test]
    fn faults_name_the_call_and_the_cut() {
        let fault = |bytes: &[u8]| {
            let fault = run(bytes).unwrap_err();
            match fault.into_error(Path::new(""), Part::File) {
                Error::Format { offset, .. } | Error::Unsupported { offset, .. } => offset,
                other => panic!("{other}"),
            }
        };
        let bad = ID.iter().map(|&b| if b == b'F' { b'f' } else { b }).collect::<Vec<u8>>();
        let call = ID.len() as u64 + 2;
        assert_eq!(fault(&[&bad[..], b"q\x05Q."].concat()), Some(call));
        assert_eq!(fault(&[ID, b"R."].concat()), Some(call - 2));
        assert_eq!(fault(b"K"), Some(1));
    }
}
