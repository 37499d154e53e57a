//! `conformance <agent>`: runs all checks on one agent executable and prints a line for each.
//! Exits with 1 when one of them failed.

use clap::Parser;
use duet_conformance::{Subject, Verdict, check_all};
use std::path::PathBuf;
use std::process::ExitCode;

/// Checks an OCF resource agent against the contract.
#[derive(Debug, Parser)]
struct Arguments {
    /// The agent's executable.
    agent: PathBuf,
    /// A variable its resource needs, such as OCF_RESKEY_config=/etc/x.xml; can be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    instance_env: Vec<(String, String)>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("NAME=VALUE is wanted")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let subject = match Subject::new(&arguments.agent, arguments.instance_env) {
        Ok(subject) => subject,
        Err(error) => {
            eprintln!("{}: {error}", arguments.agent.display());
            return ExitCode::from(2);
        }
    };
    let mut has_failed = false;
    for finding in check_all(&subject) {
        match finding.verdict {
            Verdict::Pass => println!("pass  {}", finding.check),
            Verdict::Skipped(why) => println!("skip  {}: {why}", finding.check),
            Verdict::Fail(how) => {
                has_failed = true;
                println!("FAIL  {}: {how}", finding.check);
            }
        }
    }
    ExitCode::from(u8::from(has_failed))
}
