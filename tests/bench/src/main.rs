//! The measuring program that runs inside a node, beside what it measures. It prints JSON; the lab
//! that put it there bounds its time.

#![allow(clippy::disallowed_methods, reason = "it reads its plan and starts what is measured")]

mod beset;
mod kernel;
mod power;
mod watch;
mod write;

use duet_bench::{Callgrind, Command, Error, Plan, Result, count, measure};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Err(error) = obey(&words) {
        eprintln!("duet-bench: {error}");
        std::process::exit(1);
    }
}

fn obey(words: &[String]) -> Result<()> {
    match words {
        [word, argv @ ..] if word == "memory" && !argv.is_empty() => {
            let command = Command {
                name: String::new(),
                argv: argv.to_vec(),
                env: std::env::vars().collect(),
                callgrind: Callgrind::Alone,
            };
            measure::run(&command)?;
            println!("{}", measure::children_memory()?);
            Ok(())
        }
        [word, plan] if word == "rounds" => print(&measure::rounds(&read::<Plan>(plan)?)?),
        [word, plan] if word == "together" => print(&measure::together(&read::<Plan>(plan)?)?),
        [word, plan] if word == "count" => {
            let own = std::env::current_exe()
                .map_err(|source| Error::Read { what: "this program's name".into(), source })?;
            print(&count::count(&read::<Plan>(plan)?, &own)?)
        }
        [word, plan] if word == "watch" => print(&watch::watch(&read(plan)?)?),
        [word, plan] if word == "beset" => print(&beset::beset(&read(plan)?)?),
        [word, way, uri, name] if word == "power" => power::power(way, uri, name),
        [word, path] if word == "kernel" => kernel::serve(path.as_ref(), false),
        [word, path] if word == "kernel-cut" => kernel::serve(path.as_ref(), true),
        [word, device, offset, log] if word == "write" => {
            write::write(device, offset.parse().map_err(|_| Error::Words)?, log)
        }
        _ => Err(Error::Words),
    }
}

fn read<T: DeserializeOwned>(path: &str) -> Result<T> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Read { what: path.to_owned(), source })?;
    Ok(serde_json::from_str(&text)?)
}

fn print(results: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(results)?);
    Ok(())
}
