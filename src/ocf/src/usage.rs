//! The short help, from the table.

use crate::Spec;

/// What `usage` prints: the actions, and where to read on.
#[must_use]
pub fn usage(spec: &Spec) -> String {
    let name = spec.name;
    let mut actions: Vec<&str> = Vec::new();
    for line in spec.actions {
        if !actions.contains(&line.action.name()) {
            actions.push(line.action.name());
        }
    }
    let actions = actions.join("|");
    let provider = crate::PROVIDER;
    format!(
        "usage: {name} {{{actions}}}\n\n{short}.\n\nParameters come from the environment, as OCF_RESKEY_<name>.\n\
         See: crm ra info ocf:{provider}:{name}, pcs resource describe ocf:{provider}:{name}, man 7 ocf_{provider}_{name}\n",
        short = spec.shortdesc.trim_end_matches('.'),
    )
}
