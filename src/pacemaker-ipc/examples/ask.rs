//! Asks this machine's Pacemaker what the fencing handlers and the agents ask it, or has it make a change that is read from standard input, and
//! says how long that took.
#![allow(clippy::disallowed_methods, reason = "a program for people")]

use duet_host::clock;
use duet_pacemaker_ipc::{Attributes, CibClient, Controller, Error, Scope, Sockets};
use std::{io::Read, path::Path, time::Duration};

fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let sockets = Sockets::under(Path::new("/"));
    let end = clock::within(Duration::from_secs(5));
    let cib = || CibClient::connect(&sockets, end);
    match words[..] {
        ["query"] => println!("{}", cib()?.query(Scope::Cluster, end)?),
        ["local"] => println!("{}", cib()?.query(Scope::Local, end)?),
        ["bump"] => println!("{:?}", cib()?.bump(end)),
        ["patch"] => {
            let mut patch = String::new();
            let read = std::io::stdin().read_to_string(&mut patch);
            read.map_err(|source| Error::Io { name: "-".into(), doing: "read", source })?;
            println!("{:?}", cib()?.apply(&patch, end));
        }
        ["node"] => println!("{:?}", Controller::connect(&sockets, end)?.node_info(end)?),
        ["ping", ref nodes @ ..] => {
            let nodes: Vec<String> = nodes.iter().map(|&node| node.to_owned()).collect();
            println!("{:?}", Controller::connect(&sockets, end)?.are_well(&nodes, end)?);
        }
        ["attribute", name, node] => {
            println!("{:?}", Attributes::connect(&sockets, end)?.value(name, node, end)?);
        }
        ["written", name, node] => {
            println!("{:?}", cib()?.transient_values(name, node, end)?);
        }
        _ => eprintln!(
            "query | local | bump | patch | node | ping NODE... | attribute NAME NODE | written NAME NODE"
        ),
    }
    eprintln!("{:.1} ms", clock::now().as_secs_f64() * 1e3);
    Ok(())
}
