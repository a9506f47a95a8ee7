//! Running what is hostile in a small stack, and counting what it costs.
//!
//! The test that includes this must have [`Counting`](super::common::heap::Counting) as its
//! allocator.
#![allow(dead_code)]

use std::sync::Mutex;
use std::time::Duration;

use torch_pickle::{Checkpoint, Error, ScanOptions, TensorId};

use crate::common::heap;

/// Peaks can be told apart only one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

pub(crate) const MOST_MEMORY: usize = 256 << 20;
pub(crate) const MOST_TIME: Duration = Duration::from_secs(1);

/// What this thread has computed for so far. Unlike the time on the wall it does not depend on
/// what else the machine is doing.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Runs in a stack of 1 MiB; time and peak memory must stay small.
pub(crate) fn tamed<R: Send>(name: &str, body: impl FnOnce() -> R + Send) -> R {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    let before = heap::start();
    let body = move || (body(), cpu_time());
    let (result, took) = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(1 << 20);
        thread.spawn_scoped(scope, body).unwrap().join().unwrap_or_else(|_| panic!("{name}"))
    });
    let peak = heap::peak_since(before);
    assert!(took < MOST_TIME, "{name}: {took:?}");
    assert!(peak < MOST_MEMORY, "{name}: {peak} bytes");
    result
}

/// Does everything that can be done with a checkpoint.
pub(crate) fn exercise(checkpoint: &Checkpoint) {
    let tree = checkpoint.tree();
    let _ = tree.named_tensors(100_000);
    let _ = tree.first_names();
    let _ = tree.find("a.b.0.1");
    assert!(tree.same_as(&tree.clone()));
    for i in 0..tree.nodes().len() as u32 {
        let _ = tree.kind_of(torch_pickle::NodeId::new(i));
    }
    for (i, tensor) in tree.tensors().iter().enumerate() {
        let id = TensorId(i as u32);
        let mut seen = 0u64;
        let streamed = checkpoint.stream(id, 1 << 16, &mut |piece| {
            seen += piece.len() as u64;
            if seen > 16 << 20 {
                return Err(Error::Cancelled { file: checkpoint.path().into() });
            }
            Ok(())
        });
        if let Some(n) = tensor.nbytes().filter(|&n| n <= 16 << 20) {
            let mut out = vec![0; n as usize];
            let read = checkpoint.read_into(id, &mut out);
            assert_eq!(read.is_ok(), streamed.is_ok());
        }
    }
    let _ = checkpoint.verify();
    let _ = checkpoint.warnings();
}

/// All that can come of one small file: nothing may panic. Gives whether it was opened.
pub(crate) fn survive(bytes: &[u8], file: &std::path::Path) -> bool {
    std::fs::write(file, bytes).unwrap();
    let _ = torch_pickle::scan(file, &ScanOptions::new()).unwrap();
    survive_at(file)
}

/// The same for what is there already.
pub(crate) fn survive_at(path: &std::path::Path) -> bool {
    match Checkpoint::open(path) {
        Ok(checkpoint) => {
            exercise(&checkpoint);
            true
        }
        Err(e) => {
            let text = e.to_string();
            assert!(!text.ends_with('.') && !text.contains('\n'), "{text}");
            false
        }
    }
}
