//! A cibadmin that does not come back, or not before it is let: how a handler is caught in the middle. Invariant: what is
//! held is let go unchanged, and a gate that is gone leaves the real program as it was.

use crate::failure::Result;
use crate::node::Node;
use crate::scenario::machines::fence::PATIENCE;
use duet_oracle::eventually;

const REAL: &str = "/usr/sbin/cibadmin";
const COPY: &str = "/root/cibadmin";
const STAND_IN: &str = "/root/gate";
const DIRECTORY: &str = "/run/lab/gate";

/// What it does with whoever comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// Nobody passes.
    Shut,
    /// Questions pass; changes wait until it is opened.
    HoldsChanges,
}

impl Gate {
    /// Puts it in the place of a node's cibadmin.
    pub(super) fn close(self, node: &Node) -> Result<()> {
        let held = match self {
            Gate::Shut => "*) exec sleep 600 ;;",
            Gate::HoldsChanges => {
                "*' -C'*|*' -D'*|*' -P'*|*' -R'*|*' -M'*|*' --create'*|*' --delete'*|*' --patch'*|*' --replace'*|*' --modify'*)\n\
                 \t: >reached; until [ -e open ]; do sleep 0.1; done ;;"
            }
        };
        let script = format!(
            "#!/bin/sh\ncd {DIRECTORY} || exit 1\ncase \" $*\" in\n{held}\nesac\nexec {COPY} \"$@\"\n"
        );
        node.put_program(STAND_IN, script.as_bytes())?;
        let place = format!(
            "set -e; rm -rf {DIRECTORY}; mkdir -p {DIRECTORY}; cp {REAL} {COPY}; mount --bind {STAND_IN} {REAL}"
        );
        node.sh(&place, "putting a gate in the place of cibadmin").map(drop)
    }

    /// Waits until somebody stands before it with a change.
    pub(super) fn reached(node: &Node) -> Result<()> {
        let script = format!("test -e {DIRECTORY}/reached");
        eventually(PATIENCE, &format!("a change of the CIB in {}", node.name), || {
            match node.run(&script, PATIENCE) {
                Ok(ran) if ran.status == 0 => Ok(()),
                Ok(_) => Err("nobody makes one".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })?;
        Ok(())
    }

    /// Lets everybody pass, from now on.
    pub(super) fn open(node: &Node) -> Result<()> {
        node.sh(&format!(": >{DIRECTORY}/open"), "opening the gate").map(drop)
    }

    /// The real program is back. Whoever still stands before the gate stays there.
    pub(super) fn remove(node: &Node) -> Result<()> {
        node.sh(&format!("umount -l {REAL}"), "removing the gate").map(drop)
    }
}
