//! The rule of a resource in one CIB, in terms of nodes and not of what a rule compares: which nodes it leaves free to be
//! promoted, and the patch that makes it leave others. Invariant: a patch is for the version that was looked at, and what it
//! would make is checked node by node before it is one.

use std::collections::{BTreeMap, BTreeSet};

use duet_ocf::chain;
use duet_pacemaker::{
    Allowed, Cib, DEFAULT_PREFIX, FenceRule, FencingAttribute, Node, Patch, Role, RuleName,
};

use crate::{decide::Step, facts::Rule, options::Options};

/// Where the rule is, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    cib: Cib,
    name: RuleName,
    role: Role,
    attribute: FencingAttribute,
    found: Option<FenceRule>,
    /// The numbers by which expressions are named: DRBD's node ids, by node.
    pub(crate) numbers: BTreeMap<String, u32>,
}

impl Place {
    /// Finds the clone that runs the resource, and its rule.
    pub(crate) fn find(cib: Cib, resource: &str, options: &Options) -> Result<Place, String> {
        let clone = cib.promotable_holding(resource, options.clone.as_deref());
        let clone = clone.map_err(|why| chain(&why))?;
        let prefix = options.id_prefix.as_deref().unwrap_or(DEFAULT_PREFIX);
        let name = RuleName::new(prefix, resource, &clone);
        let found = cib.fence_rule(&name).map_err(|why| chain(&why))?;
        let attribute = options.attribute.as_deref();
        Ok(Place {
            name,
            role: options.role,
            attribute: attribute.map_or(FencingAttribute::Uname, FencingAttribute::parse),
            found,
            cib,
            numbers: BTreeMap::new(),
        })
    }

    /// The CIB that it is in.
    pub(crate) fn cib(&self) -> &Cib {
        &self.cib
    }

    /// What matters of that CIB, as text.
    pub(crate) fn extract(&self) -> String {
        self.cib.extract(&self.name.id())
    }

    /// The id of the constraint.
    pub(crate) fn id(&self) -> String {
        self.name.id()
    }

    /// Which nodes the rule that is there leaves free; what is a node no more goes by what the rule compares.
    pub(crate) fn rule(&self) -> Option<Rule> {
        let found = self.found.as_ref()?;
        let allowed = found.allowed.iter().flat_map(|one| self.meant(found, one));
        Some(Rule { allowed: allowed.collect() })
    }

    fn meant(&self, rule: &FenceRule, one: &Allowed) -> Vec<String> {
        let only = FenceRule { allowed: vec![one.clone()], ..rule.clone() };
        let nodes = self.cib.nodes().iter().filter(|node| only.allows(node));
        match nodes.map(|node| node.uname.clone()).collect::<Vec<_>>() {
            none if none.is_empty() => vec![one.value.clone()],
            nodes => nodes,
        }
    }

    /// The patch for this change, for `cibadmin --patch`.
    pub(crate) fn patch(&self, step: &Step) -> Result<String, String> {
        let patch = match (step, &self.found) {
            (Step::Remove { .. }, Some(found)) => Patch::remove(&self.cib, found),
            (Step::Remove { .. }, None) => return Err("The rule is not there".to_owned()),
            (Step::Bump { .. }, _) => return Err("A newer version is no patch".to_owned()),
            (Step::Write { allowed, .. }, found) => {
                let wanted = self.wanted(allowed)?;
                match found {
                    None => Patch::place(&self.cib, &wanted),
                    Some(found) => match Patch::replace(&self.cib, found, &wanted) {
                        Ok(Some(patch)) => Ok(patch),
                        Ok(None) => return Err(format!("{} says that already", found.id)),
                        Err(why) => Err(why),
                    },
                }
            }
        };
        patch.map(|patch| patch.to_xml()).map_err(|why| chain(&why))
    }

    /// A rule that leaves these nodes free and no other. What is there already keeps its words.
    fn wanted(&self, allowed: &BTreeSet<String>) -> Result<FenceRule, String> {
        let is_wanted = |name: &String| allowed.iter().any(|node| node.eq_ignore_ascii_case(name));
        let mut kept: Vec<Allowed> = Vec::new();
        if let Some(found) = &self.found {
            let stays = |one: &&Allowed| self.meant(found, one).iter().all(&is_wanted);
            kept = found.allowed.iter().filter(stays).cloned().collect();
        }
        let is_kept = |node: &Node| match &self.found {
            Some(found) => FenceRule { allowed: kept.clone(), ..found.clone() }.allows(node),
            None => false,
        };
        let missing: Vec<(u32, &Node)> = self
            .cib
            .nodes()
            .iter()
            .filter(|node| is_wanted(&node.uname) && !is_kept(node))
            .map(|node| (self.numbers.get(&node.uname).copied().unwrap_or(0), node))
            .collect();
        let new = FenceRule::wanted(&self.name, self.role, &self.attribute, &missing);
        let mut rule = match (&self.found, new) {
            (Some(found), new) => {
                let more = new.map(|new| new.allowed).unwrap_or_default();
                FenceRule { allowed: [kept, more].concat(), ..found.clone() }
            }
            (None, Some(new)) => new,
            (None, None) => return Err("The cluster has none of the nodes to allow".to_owned()),
        };
        let mut ids = BTreeSet::new();
        for one in &mut rule.allowed {
            while !ids.insert(one.id.clone()) {
                one.id.push_str("-1");
            }
        }
        let wrong =
            self.cib.nodes().iter().find(|node| rule.allows(node) != is_wanted(&node.uname));
        match wrong {
            Some(node) => Err(format!(
                "By the attribute {} node {} cannot be told from others",
                self.attribute, node.uname
            )),
            None => Ok(rule),
        }
    }
}
