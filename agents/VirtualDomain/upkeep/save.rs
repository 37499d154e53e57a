//! The running domain's definition, written back to its file. Invariant: the file has the old definition or the new one,
//! whole, at any moment; and never one of another domain, or without the secrets that libvirt has.

use std::time::Duration;

use duet_domain::{Definition, unmarked};
use duet_host::{bounded, process::Call};
use duet_libvirt_rpc::{DomainRef, XmlFlags};
use duet_ocf::{Turn, chain};

use super::{Error, Save};
use crate::{config::Config, definition::LIMIT, observe};

/// What a next start from it would use, passwords included: what is not written back is lost.
const WHOLE: XmlFlags = XmlFlags::INACTIVE.and(XmlFlags::SECURE);
/// What distributes the file.
pub(super) const CSYNC2: &str = "csync2";

/// Saves it, and has it distributed where that is wanted and it was another than the file's.
pub(super) fn save(
    config: &Config,
    domain: &DomainRef,
    limit: Duration,
    turn: &mut Turn<'_>,
) -> Result<(), Error> {
    let deadline = turn.within(limit);
    let left = deadline.remaining(turn.now());
    let definition = observe::connect(config, left)
        .and_then(|mut libvirt| {
            let definition = libvirt.describe_with(domain, WHOLE);
            libvirt.close();
            definition
        })
        .map_err(|source| Error::Dump { name: domain.name.clone(), source })?;
    // The mark is this run's alone: a copy of the file is another resource's domain.
    let definition = unmarked(&definition).map_err(|error| not_the_same(domain, chain(&error)))?;
    // Only a file that is there: in its place may be a mount that is missing, or dead.
    let written = bounded::read_text(&config.definition, LIMIT, deadline)?;
    if written == definition {
        return Ok(());
    }
    check(domain, &definition, &written)?;
    bounded::write_atomic(&config.definition, definition.as_bytes(), 0o600, deadline)?;
    let path = config.definition.display();
    turn.info(format!("Saved the definition of domain {} to {path}", domain.name));
    if config.upkeep.save == Save::Everywhere {
        let call = Call::new(CSYNC2).arg("-xv").arg(&config.definition);
        let what = "distribute the definition";
        let ended = call.limit(16 * 1024).run(deadline);
        let ended = ended.map_err(|error| Error::Tool { what, why: chain(&error) })?;
        if !ended.is_success() {
            return Err(Error::Tool { what, why: format!("{CSYNC2} {}", ended.describe()) });
        }
        // A file that its configuration does not list is no error to it.
        let said = ended.describe();
        if said.contains("Parameter will be ignored") {
            return Err(Error::Tool { what, why: format!("{CSYNC2} {said}") });
        }
        turn.info(format!("Distributed {path} with {CSYNC2}"));
    }
    Ok(())
}

fn not_the_same(domain: &DomainRef, why: String) -> Error {
    Error::NotTheSame { name: domain.name.clone(), why }
}

/// Whether what libvirt says and what the file says are one domain.
fn check(domain: &DomainRef, definition: &str, written: &str) -> Result<(), Error> {
    let different = |why: String| not_the_same(domain, why);
    let parse = |whose: &str, text: &str| {
        Definition::parse(text.as_bytes())
            .map_err(|error| different(format!("{whose}: {}", chain(&error))))
    };
    let said = parse("libvirt's answer", definition)?;
    if (&said.name, said.uuid) != (&domain.name, Some(domain.uuid)) {
        return Err(different("libvirt's answer is about another one".to_owned()));
    }
    let file = parse("the file", written)?;
    if file.name != said.name || file.uuid.is_some_and(|uuid| uuid != domain.uuid) {
        return Err(different(format!(
            "the file is about another one ({}), and was left alone",
            file.name
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(name: &str, uuid: &str) -> String {
        let uuid = if uuid.is_empty() { String::new() } else { format!("<uuid>{uuid}</uuid>") };
        format!("<domain><name>{name}</name>{uuid}</domain>")
    }

    #[test]
    fn only_one_and_the_same_domain_is_saved() {
        let (ours, other) =
            ("c7a5fdbd-edaf-9455-926a-d65c16db1809", "d7a5fdbd-edaf-9455-926a-d65c16db1809");
        let domain = DomainRef { name: "web".into(), uuid: ours.parse().unwrap(), id: 1 };
        for (said, written, is_saved) in [
            (xml("web", ours), xml("web", ours), true),
            (xml("web", ours), xml("web", ""), true),
            (xml("web", ours), xml("web", other), false),
            (xml("web", ours), xml("shop", ours), false),
            (xml("web", ours), String::new(), false),
            (xml("web", other), xml("web", ours), false),
            (xml("web", ""), xml("web", ours), false),
            (String::new(), xml("web", ours), false),
        ] {
            assert_eq!(check(&domain, &said, &written).is_ok(), is_saved, "{said} {written}");
        }
    }
}
