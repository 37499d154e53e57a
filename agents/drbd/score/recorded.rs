//! What real machines were recorded to say, and the score that each of them deserves.
#![allow(clippy::disallowed_methods, reason = "tests read what was recorded")]

use super::*;
use duet_drbd::{Version, events2};
use std::path::Path;

fn scores(folder: &str, version: Version) -> Vec<String> {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/recorded/drbd");
    let mut files: Vec<_> = std::fs::read_dir(recorded.join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let rows = files.iter().filter_map(|path| {
        let name = path.file_stem()?.to_str()?.strip_prefix("state-")?;
        let text = std::fs::read_to_string(path).unwrap();
        let said = text.split("$ drbdsetup events2 --now --timestamps\n").nth(1)?;
        let said = said.split("# exit").next()?;
        let view = events2::snapshot(said).unwrap_or_else(|why| panic!("{name}: {why}"));
        let options =
            Options { scores: Scores::DEFAULT, peer_primary: PeerPrimary::Ignore, promoted_max: 1 };
        let kernel = Kernel::of("r0", &view, version);
        Some(format!("{name} {}", promotion_score(&kernel, &options, Elsewhere::NotKnown)))
    });
    rows.collect()
}

const OF_8_4: &str = "\
00-module-only-node1 none
00-module-only-node2 none
01-metadata-not-up-node1 none
01-metadata-not-up-node2 none
02-connected-inconsistent-both-node1 none
02-connected-inconsistent-both-node2 none
03-connected-secondary-uptodate-both-node1 10000
03-connected-secondary-uptodate-both-node2 10000
04-connected-node1-primary-node1 10000
04-connected-node1-primary-node2 10000
05-cable-cut-fenced-resource-only-node1 10000
05-cable-cut-fenced-resource-only-node2 1000
06-cable-cut-primary-wrote-node1 10000
06-cable-cut-primary-wrote-node2 1000
07-syncing-node2-target-node1 10000
07-syncing-node2-target-node2 10
08-after-resync-node1 10000
08-after-resync-node2 10000
09-primary-disconnected-standalone-node1 10000
09-primary-disconnected-standalone-node2 none
10-node2-outdated-standalone-node1 10000
10-node2-outdated-standalone-node2 none
11-reconnected-node1 10000
11-reconnected-node2 10000
12-node2-diskless-node1 10000
12-node2-diskless-node2 10
13-suspended-during-fence-peer-resource-and-stonith-node1 10000
13-suspended-during-fence-peer-resource-and-stonith-node2 1000
14-after-fence-peer-rc7-node1 10000
14-after-fence-peer-rc7-node2 1000
15-fence-peer-exit1-io-frozen-node1 10000
15-fence-peer-exit1-io-frozen-node2 1000
16-after-resume-io-node1 10000
17-both-primary-cut-off-node1 10000
17-both-primary-cut-off-node2 10000
18-split-brain-node1 10000
18-split-brain-node2 10000
19-split-brain-resolved-node1 10000
19-split-brain-resolved-node2 10000
20-peer-went-down-cleanly-node1 10000
20-this-node-down-node2 none
21-peer-killed-9-node1 10000
22-before-resync-target-handler-exited-7-node1 10000
22-before-resync-target-handler-exited-7-node2 none";

const OF_9: &str = "\
00-module-only-node1 none
01-metadata-not-up-node1 none
02-connected-inconsistent-both-node1 none
03-connected-secondary-uptodate-both-node1 10000
04-connected-node1-primary-node1 10000
05-cable-cut-fenced-resource-only-node1 10000
05-cable-cut-fenced-resource-only-node2 1000
06-cable-cut-primary-wrote-node1 10000
07-syncing-node2-target-node1 10000
07-syncing-node2-target-node2 10
08-after-resync-node1 10000
08-after-resync-node2 10000
09-primary-disconnected-standalone-node1 10000
09-primary-disconnected-standalone-node2 none
10-node2-outdated-standalone-node1 10000
10-node2-outdated-standalone-node2 none
11-reconnected-node1 10000
12-node2-diskless-node1 10000
12-node2-diskless-node2 10
13-suspended-during-fence-peer-resource-and-stonith-node1 10000
13-suspended-during-fence-peer-resource-and-stonith-node2 1000
14-after-fence-peer-rc7-node1 10000
15-fence-peer-exit1-io-frozen-node1 10000
16-after-resume-io-node1 10000
17-both-primary-cut-off-node1 10000
17-both-primary-cut-off-node2 10000
18-split-brain-node1 10000
18-split-brain-node2 10000
19-split-brain-resolved-node1 10000
20-node2-went-down-cleanly-node1 10000
20-node2-went-down-cleanly-node2 none
23-before-disk-failure-node1 10000
23-before-disk-failure-node2 10000
24-primary-disk-failed-detached-node1 10
24-primary-disk-failed-detached-node2 10000
25-primary-disk-failed-call-local-io-error-node1 10
25-primary-disk-failed-call-local-io-error-node2 10000
26-no-disk-anywhere-node1 none
26-no-disk-anywhere-node2 none
3n-01-connected-secondary-node1 10000
3n-02-node1-primary-node1 10000
3n-02-node1-primary-node3 9999
3n-03-node2-cut-off-quorum-kept-node1 10000
3n-03-node2-cut-off-quorum-kept-node2 none
3n-04-node1-primary-quorum-lost-io-error-node1 none
3n-05-node2-took-over-with-tiebreaker-node1 none
3n-05-node2-took-over-with-tiebreaker-node2 10000
3n-05-node2-took-over-with-tiebreaker-node3 999
3n-06-old-primary-back-node1 none
3n-06-old-primary-back-node2 10000
3n-07-old-primary-demoted-node1 none
3n-08-node1-primary-quorum-lost-suspended-node1 none
3n-09-quorum-back-node1 10000
3n-10-node2-cut-off-fenced-no-quorum-node1 10000
3n-11-node1-cut-off-both-fenced-node1 10000
3n-12-tiebreaker-down-node1 10000";

const OF_9_2: &str = "\
04-connected-node1-primary-node1 10000
07-syncing-node2-target-node1 10000
07-syncing-node2-target-node2 10
15-fence-peer-exit1-io-frozen-node1 10000";

#[test]
fn every_recorded_state_has_the_score_that_it_deserves() {
    for (folder, (major, minor, patch), rows) in
        [("8.4", (8, 4, 11), OF_8_4), ("9", (9, 3, 3), OF_9), ("9.2.16", (9, 2, 16), OF_9_2)]
    {
        let rows: Vec<&str> = rows.lines().collect();
        assert_eq!(scores(folder, Version { major, minor, patch }), rows, "{folder}");
    }
}
