//! The bytes of a tensor to be read as they are wanted, though the file hands them out as it will.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::{TensorInfo, Tensors};

/// Pieces that wait to be read.
const AHEAD: usize = 2;

type Piece = Result<Vec<u8>, String>;

/// A tensor in C order, little-endian. A thread reads it, a few pieces ahead, from the first read
/// on, and ends when this is dropped.
pub(crate) struct Pull {
    waiting: Option<(Tensors, TensorInfo)>,
    pieces: Option<Receiver<Piece>>,
    piece: Vec<u8>,
    at: usize,
}

impl Pull {
    pub(crate) fn new(file: Tensors, tensor: TensorInfo) -> Pull {
        Pull { waiting: Some((file, tensor)), pieces: None, piece: Vec::new(), at: 0 }
    }
}

/// Reads all of it, until nobody listens any more.
fn push(file: &Tensors, tensor: &TensorInfo, to: &SyncSender<Piece>) {
    let gone = || torch_pickle::Error::Cancelled { file: file.path().to_owned() };
    let done = file.stream(tensor.id, &mut |bytes| to.send(Ok(bytes.to_vec())).map_err(|_| gone()));
    if let Err(e) = done {
        let _ = to.send(Err(e.to_string()));
    }
}

impl Read for Pull {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if let Some((file, tensor)) = self.waiting.take() {
            let (to, from) = sync_channel(AHEAD);
            std::thread::Builder::new().spawn(move || push(&file, &tensor, &to))?;
            self.pieces = Some(from);
        }
        while self.at == self.piece.len() {
            match self.pieces.as_ref().map(Receiver::recv) {
                Some(Ok(Ok(piece))) => (self.piece, self.at) = (piece, 0),
                Some(Ok(Err(problem))) => return Err(io::Error::other(problem)),
                _ => return Ok(0),
            }
        }
        let n = out.len().min(self.piece.len() - self.at);
        out[..n].copy_from_slice(&self.piece[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}
