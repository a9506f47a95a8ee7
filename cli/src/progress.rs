//! The progress bar: on a terminal, for work that takes a while. Ctrl-C ends the work cleanly.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use numpack_interop::Progress;

use crate::args::ProgressMode;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Shorter work is over before a bar helps.
const PATIENCE: Duration = Duration::from_millis(300);

pub(crate) struct Bar {
    shown: bool,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Bar {
    /// Also makes Ctrl-C stop the work at the next step instead of killing it; a second one kills.
    pub(crate) fn new(mode: ProgressMode) -> Bar {
        // Without a handler the process just ends, and the next run clears what it left.
        let _ = ctrlc::set_handler(|| {
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(2);
            }
        });
        let shown = mode == ProgressMode::Auto && std::io::stderr().is_terminal();
        Bar { shown, started: Instant::now(), bar: None }
    }

    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Bar {
    fn advance(&mut self, done: u64, total: u64) -> ControlFlow<()> {
        if INTERRUPTED.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        if self.shown && (self.bar.is_some() || self.started.elapsed() > PATIENCE) {
            let bar = self.bar.get_or_insert_with(|| ProgressBar::new(total).with_style(style()));
            bar.set_position(done);
        }
        ControlFlow::Continue(())
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template(
        "{bar:40} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar())
}
