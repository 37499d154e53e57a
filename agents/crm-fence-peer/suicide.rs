//! The end of a Primary that was told to end itself rather than to stay as it is: Pacemaker is asked to fence it, and if it
//! does not, the machine is rebooted at once. Invariant: nothing of this happens but for an answer that says so, and it
//! stops when the node is no longer a Primary without its peer.

use std::time::Duration;

use duet_host::{clock, process::Call};
use duet_ocf::Level;

/// How long Pacemaker has to fence this node, where it fences nodes at all.
const FENCING: Duration = Duration::from_secs(300);
/// How long people have to see what is going to happen, where it does not.
const WARNING: Duration = Duration::from_secs(20);
/// How often it is looked whether there is still a reason.
const PAUSE: Duration = Duration::from_secs(1);
/// How long each program may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// All that it touches.
pub(crate) trait Surroundings {
    /// Runs a program, and says how it failed.
    fn run(&mut self, call: &[&str]) -> Result<(), String>;
    /// Waits.
    fn sleep(&mut self, span: Duration);
    /// Whether this node still is a Primary that could not fence its peer.
    fn is_still_wanted(&mut self) -> bool;
    /// Writes a line.
    fn log(&mut self, level: Level, text: &str);
}

/// Ends this node. Returns only if that is no longer wanted, or did not work.
pub(crate) fn commit(
    node: &str,
    resource: &str,
    has_stonith: bool,
    around: &mut impl Surroundings,
) {
    let patience = if has_stonith { FENCING } else { WARNING };
    let text = format!(
        "{node} is Primary of DRBD resource {resource} and could not fence its peer: it ends itself, as --suicide-on-failure-if-primary says; reboot in {} s at the latest",
        patience.as_secs()
    );
    around.log(Level::Error, &text);
    if has_stonith {
        let attribute = ["crm_attribute", "-t", "status", "-N", node, "-n", "terminate", "-v", "1"];
        if let Err(why) = around.run(&attribute) {
            around.log(Level::Error, &format!("Could not ask Pacemaker to fence {node}: {why}"));
        }
    }
    // To people at terminals; there may be none, nor the program.
    let _ = around.run(&["wall", &text]);
    let mut waited = Duration::ZERO;
    while waited < patience {
        if !around.is_still_wanted() {
            around.log(Level::Warning, "There is no reason any more: the node goes on");
            if has_stonith {
                let take_back =
                    ["crm_attribute", "-t", "status", "-N", node, "-n", "terminate", "-D"];
                if let Err(why) = around.run(&take_back) {
                    around.log(Level::Error, &format!("Could not take that back: {why}"));
                }
            }
            return;
        }
        around.sleep(PAUSE);
        waited += PAUSE;
    }
    around.log(Level::Error, &format!("{node} is rebooted at once"));
    if let Err(why) = around.run(&["reboot", "-f"]) {
        around.log(Level::Error, &format!("Could not reboot: {why}"));
    }
}

/// Runs a program on this machine.
pub(crate) fn run(call: &[&str]) -> Result<(), String> {
    let Some((program, arguments)) = call.split_first() else { return Ok(()) };
    let ended = Call::new(*program)
        .env("LC_ALL", "C")
        .args(arguments)
        .run(clock::within(PATIENCE))
        .map_err(|why| duet_ocf::chain(&why))?;
    if ended.is_success() { Ok(()) } else { Err(format!("{program} {}", ended.describe())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Watched {
        did: Vec<String>,
        slept: Duration,
        wanted_for: Option<Duration>,
    }

    impl Surroundings for Watched {
        fn run(&mut self, call: &[&str]) -> Result<(), String> {
            let text = call.iter().filter(|word| !word.contains(' ')).copied();
            self.did.push(text.collect::<Vec<_>>().join(" "));
            Err("it fails".to_owned())
        }
        fn sleep(&mut self, span: Duration) {
            self.slept += span;
        }
        fn is_still_wanted(&mut self) -> bool {
            self.wanted_for.is_none_or(|span| self.slept < span)
        }
        fn log(&mut self, _: Level, _: &str) {}
    }

    const ASK: &str = "crm_attribute -t status -N node1 -n terminate -v 1";

    #[test]
    fn pacemaker_is_asked_first_where_it_fences_nodes_and_the_reboot_comes_in_any_case() {
        for (has_stonith, seconds) in [(true, 300), (false, 20)] {
            let mut around = Watched::default();
            commit("node1", "r0", has_stonith, &mut around);
            let asked: &[&str] = if has_stonith { &[ASK] } else { &[] };
            assert_eq!(around.did, [asked, &["wall", "reboot -f"]].concat());
            assert_eq!(around.slept, Duration::from_secs(seconds));
        }
    }

    #[test]
    fn a_node_that_has_its_peer_again_goes_on_and_takes_its_request_back() {
        let mut around = Watched { wanted_for: Some(Duration::from_secs(3)), ..Watched::default() };
        commit("node1", "r0", true, &mut around);
        let back = "crm_attribute -t status -N node1 -n terminate -D";
        assert_eq!(around.did, [ASK, "wall", back]);
    }
}
