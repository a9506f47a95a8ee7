//! `numpack`: tensors in files, from the command line.
//!
//! Results go to stdout, progress and warnings to stderr. Exit status 0: done, or yes; 1: the
//! answer is no; 2: it could not be done. A reader that closes the pipe early is no error.

mod append;
mod args;
mod cat;
mod compact;
mod convert;
mod devices;
mod diff;
mod drop;
mod info;
mod ls;
mod pack;
mod progress;
mod rename;
mod rows;
mod scan;
mod store;
mod text;
mod verify;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Args, Command};

/// How a command ended.
enum Answer {
    /// Done, or yes.
    Yes,
    /// No: the files differ, faults or dangers were found.
    No,
    /// Part of it could not be done, and what that is was said already.
    NotDone,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut out = BufWriter::new(io::stdout().lock());
    let result = run(args, &mut out).and_then(|answer| {
        out.flush()?;
        Ok(answer)
    });
    match result {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Ok(Answer::NotDone) => ExitCode::from(2),
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("numpack: {}", text::plain(&e.to_string()));
            ExitCode::from(2)
        }
    }
}

fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<Answer> {
    match args.command {
        Command::Convert(args) => convert::run(&args, out),
        Command::Ls(args) => ls::run(&args, out),
        Command::Info(args) => info::run(&args, out),
        Command::Verify(args) => verify::run(&args, out),
        Command::Diff(args) => diff::run(&args, out),
        Command::Scan(args) => scan::run(&args, out),
        Command::Cat(args) => cat::run(&args, out),
        Command::Append(args) => append::run(&args, out),
        Command::Drop(args) => drop::run(&args, out),
        Command::Rename(args) => rename::run(&args),
        Command::Compact(args) => compact::run(&args, out),
        Command::Pack(args) => pack::run(&args, out),
        Command::Unpack(args) => pack::run_unpack(&args, out),
        Command::Devices(args) => devices::run(&args, out),
        Command::Completions { shell } => {
            // Into memory first: the generator panics when the pipe is closed.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "numpack", &mut script);
            out.write_all(&script)?;
            Ok(Answer::Yes)
        }
    }
}

fn is_broken_pipe(e: &anyhow::Error) -> bool {
    e.chain().any(|cause| {
        // The JSON writer wraps what the pipe said.
        let json = cause.downcast_ref::<serde_json::Error>().and_then(|e| e.io_error_kind());
        let plain = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        json.or(plain) == Some(io::ErrorKind::BrokenPipe)
    })
}

/// Prints what the user should know though the work goes on.
fn warn(warnings: &[String]) {
    for warning in warnings {
        eprintln!("numpack: warning: {}", text::plain(warning));
    }
}
