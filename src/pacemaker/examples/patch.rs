//! A patch for a CIB by hand: `cibadmin -Q | patch place|tighten|replace|remove RESOURCE NODE... | cibadmin --patch -p`.
//! It prints what the crate makes of the CIB on stderr, and the patch, if there is one, on stdout.

use duet_pacemaker::{Cib, DEFAULT_PREFIX, FenceRule, FencingAttribute, Patch, Role, RuleName};
use std::{error::Error, io::Read};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [action, resource, nodes @ ..] = &arguments[..] else {
        return Err("usage: patch place|tighten|replace|remove RESOURCE NODE...".into());
    };
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let cib = Cib::parse(&text)?;
    let clone = cib.promotable_holding(resource, None)?;
    let name = RuleName::new(DEFAULT_PREFIX, resource, &clone);
    let found = cib.fence_rule(&name)?;
    eprintln!("version {}, DC {:?}, quorum {:?}", cib.version(), cib.dc(), cib.have_quorum());
    for node in cib.nodes() {
        let bans = found.as_ref().is_some_and(|rule| rule.bans(node));
        eprintln!("{}: {:?}, banned: {bans}", node.uname, cib.standing(&node.uname));
    }
    let mut allowed = Vec::new();
    for (index, node) in (0..).zip(nodes) {
        allowed.push((index, cib.node_named(node)?));
    }
    let wanted = FenceRule::wanted(&name, Role::Master, &FencingAttribute::Uname, &allowed);
    let patch = match (action.as_str(), found, wanted) {
        ("place", _, Some(wanted)) => Some(Patch::place(&cib, &wanted)?),
        ("tighten", Some(found), Some(wanted)) => Patch::tighten(&cib, &found, &wanted)?,
        ("replace", Some(found), Some(wanted)) => Patch::replace(&cib, &found, &wanted)?,
        ("remove", Some(found), _) => Some(Patch::remove(&cib, &found)?),
        _ => return Err("there is no such rule, or no such action".into()),
    };
    match patch {
        Some(patch) => print!("{}", patch.to_xml()),
        None => eprintln!("nothing to do"),
    }
    Ok(())
}
