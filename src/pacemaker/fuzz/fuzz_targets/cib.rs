//! Any text as the output of `cibadmin -Q`. Invariant: reading returns; the record of what was read reads as the same again;
//! and a patch is made of a rule that was recognised, or refused.
#![no_main]

use duet_pacemaker::{
    Cib, DEFAULT_PREFIX, FenceRule, FencingAttribute, Patch, PatchAnswer, Role, RuleName,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let _ = PatchAnswer::of(i32::from(input.first().copied().unwrap_or_default()), &text);
    let Ok(cib) = Cib::parse(&text) else { return };
    let clone = cib.promotable_holding("r0", None);
    let name = RuleName::new(DEFAULT_PREFIX, "r0", clone.as_deref().unwrap_or("ms-r0"));
    let found = cib.fence_rule(&name);
    let extract = cib.extract(&name.id());
    let again = Cib::parse(&extract).expect("what was read can be written and read");
    assert_eq!(again.extract(&name.id()), extract);
    assert_eq!((again.version(), again.dc()), (cib.version(), cib.dc()));
    assert_eq!((again.properties(), again.nodes()), (cib.properties(), cib.nodes()));
    assert_eq!(again.node_states(), cib.node_states());
    assert_eq!((again.promotable_holding("r0", None), again.fence_rule(&name)), (clone, found.clone()));
    let Some(node) = cib.nodes().first() else { return };
    assert_eq!(again.standing(&node.uname), cib.standing(&node.uname));
    let site = FencingAttribute::parse("site");
    let wanted = FenceRule::wanted(&name, Role::Master, &site, &[(0, node)]).expect("one node");
    match found {
        Ok(None) => drop(Patch::place(&cib, &wanted).map(|patch| patch.to_xml())),
        Ok(Some(found)) => {
            assert!(found.allows(node) != found.bans(node));
            let replaced = Patch::replace(&cib, &found, &wanted);
            assert_eq!(replaced == Ok(None), found.same_meaning(&wanted));
            let _ = (Patch::tighten(&cib, &found, &wanted), Patch::remove(&cib, &found));
        }
        Err(edited) => assert!(edited.to_string().contains("edited by hand")),
    }
});
