//! Metadata against the schemas that the field's tools use, by xmllint. Where xmllint or a schema is missing
//! that is said, not passed over.

use duet_host::clock;
use duet_host::process::{Call, find};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The document types that are known: resource-agents', and ours.
const DOCUMENT_TYPES: [&str; 2] = ["ra-api-1.dtd", "ocf-1.1.dtd"];
const LIMIT: Duration = Duration::from_secs(20);

/// Validates metadata against its own document type, as ocf-tester does (`ra-api-1.dtd` or our `ocf-1.1.dtd`, which need
/// not be installed for it), and against pcs's OCF 1.1 schema. Returns what had to be skipped.
///
/// `XMLLINT` names another xmllint, `OCF_SCHEMA_DIR` a directory to look for schemas in first.
///
/// # Errors
/// What xmllint has against it.
pub fn validate(metadata: &str) -> Result<Vec<String>, String> {
    let xmllint = std::env::var("XMLLINT").unwrap_or_else(|_| "xmllint".to_owned());
    if find(&xmllint, duet_host::process::PATH).is_none() {
        return Ok(vec![format!("{xmllint} is not installed, no schema was consulted")]);
    }
    let mut skipped = Vec::new();
    let lint = || Call::new(&xmllint).args(["--noout", "--nonet"]);
    let named = DOCUMENT_TYPES.into_iter().find(|name| metadata.contains(&format!("{name}\"")));
    match schema(named.unwrap_or(DOCUMENT_TYPES[0])).as_deref().and_then(Path::parent) {
        Some(directory) => {
            run(&lint().arg("--valid").arg("--path").arg(directory), metadata, "document type")?;
        }
        None => skipped.push(format!("{} is not here", named.unwrap_or(DOCUMENT_TYPES[0]))),
    }
    match schema("ocf-1.1.rng") {
        Some(file) => run(&lint().arg("--relaxng").arg(file), metadata, "OCF 1.1 schema")?,
        None => skipped.push("ocf-1.1.rng is not here (it comes with pcs)".to_owned()),
    }
    Ok(skipped)
}

fn run(call: &Call, metadata: &str, what: &str) -> Result<(), String> {
    let ended = call.clone().arg("-").input(metadata).run(clock::within(LIMIT));
    match ended {
        Ok(ended) if ended.is_success() => Ok(()),
        Ok(ended) => Err(format!("{what}: xmllint {}", ended.describe())),
        Err(error) => Err(format!("{what}: {error}")),
    }
}

fn schema(name: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ocf-metadata/schema");
    let named = std::env::var_os("OCF_SCHEMA_DIR").map(PathBuf::from);
    let installed = ["/usr/share/pcs/data", "/usr/lib/pcs/data", "/usr/share/resource-agents"];
    named
        .into_iter()
        .chain([own])
        .chain(installed.map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}
