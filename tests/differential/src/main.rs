//! The stock fencing handlers and ours on the same inputs: the same exit code and the same nodes allowed afterwards, but for
//! what is named. Runs inside the lab's tree, which has drbd-utils and Pacemaker's tools.

#![allow(clippy::disallowed_methods, reason = "it starts the programs that it compares")]

mod exceptions;
mod input;
mod run;
mod table;

use exceptions::{EXCEPTIONS, named};
use run::{Outcome, Stage, Whose};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What can go wrong beside a difference.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("Call it with the path of our program, built for a test's kernel")]
    Words,
    #[error("Could not {doing} {path}")]
    Io { doing: &'static str, path: String, source: std::io::Error },
    #[error("No proper end of {what} (exit code {code}): {said}")]
    NoEnd { what: String, code: i32, said: String },
}

type Result<T> = std::result::Result<T, Error>;

impl Error {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.display().to_string();
        move |source| Error::Io { doing, path, source }
    }
}

/// As many as the machine has processors, and no more: the stock handler is some sixty processes.
const WORKERS: usize = 2;

fn main() {
    match compare() {
        Ok(true) => {}
        Ok(false) => std::process::exit(1),
        Err(error) => {
            eprintln!("duet-differential: {error}");
            std::process::exit(2);
        }
    }
}

fn compare() -> Result<bool> {
    let ours = std::env::args_os().nth(1).map(PathBuf::from).ok_or(Error::Words)?;
    let stage = Stage::lay_out(&ours)?;
    let inputs = table::inputs();
    let results: Mutex<BTreeMap<usize, (Outcome, Outcome)>> = Mutex::default();
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        let worker = stage.worker()?;
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(input) = inputs.get(index) else { return Ok(()) };
            let stock = worker.run(input, Whose::Stock)?;
            let ours = worker.run(input, Whose::Ours)?;
            if stock != ours && named(input, &stock, &ours).is_none() {
                let input = input.line();
                println!(
                    "a difference without a name: {input}\n    stock {stock:?}\n    ours  {ours:?}"
                );
            }
            results.lock().expect("nobody panics with it").insert(index, (stock, ours));
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker returns its errors"))
            .collect::<Result<Vec<()>>>()
    })?;
    let results = results.into_inner().expect("nobody panics with it");
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let (mut same, mut holds) = (0, true);
    for (index, (stock, ours)) in &results {
        let input = &inputs[*index];
        if stock == ours {
            same += 1;
        } else if let Some(exception) = named(input, stock, ours) {
            *seen.entry(exception.name).or_default() += 1;
        } else {
            holds = false;
        }
    }
    println!("{} inputs, the same answer and the same rule to {same}", inputs.len());
    for exception in EXCEPTIONS {
        let count = seen.get(exception.name).copied().unwrap_or(0);
        println!("{count:4} {}: {}", exception.name, exception.why);
        if count != exception.count {
            println!("     and not {}, as is written down", exception.count);
            holds = false;
        }
    }
    Ok(holds)
}
