//! Which lines are steps of a failover: texts as the programs' sources and recordings have them.

use duet_oracle::Record;
use duet_oracle::phase::recognise;

fn told(tag: &str, text: &str) -> String {
    let record = Record { tag: tag.into(), pid: None, severity: 5, text: text.into() };
    let phases: Vec<String> = recognise(&record).iter().map(ToString::to_string).collect();
    phases.join("; ")
}

/// Texts as the programs' sources and recordings have them.
#[test]
fn lines_are_recognised() {
    let table = [
        ("corosync", "[TOTEM ] Token has not been received in 3750 ms", "the token is late"),
        (
            "corosync",
            "[TOTEM ] A processor failed, forming new configuration: token timed out (5000ms), \
                 waiting 6000ms for consensus.",
            "the token is lost, a new membership is formed",
        ),
        (
            "corosync",
            "[TOTEM ] A new membership (2.1f) was formed. Members left: 1",
            "membership formed: left 1, joined nobody",
        ),
        (
            "corosync",
            "[TOTEM ] A new membership (1.23) was formed. Members joined: 1 3 left: 4",
            "membership formed: left 4, joined 1, 3",
        ),
        (
            "corosync",
            "[KNET  ] host: host: 1 has no active links",
            "no cluster link to node id 1 is left",
        ),
        ("corosync", "[KNET  ] host: host: 1 has 1 active links", ""),
        ("corosync", "[QUORUM] Members[1]: 2", ""),
        ("pacemaker-controld", "notice: Node node1 state is now lost", "node node1 is now lost"),
        (
            "pacemaker-controld",
            "notice: Requesting fencing (reboot) of node node1",
            "fencing of node1 requested",
        ),
        // 2.1.7 and later.
        (
            "pacemaker-controld",
            "notice: Requesting fencing (reboot) targeting node node1",
            "fencing of node1 requested",
        ),
        (
            "pacemaker-fenced",
            "notice: Requesting peer fencing (off) targeting node1",
            "fencing of node1 requested",
        ),
        (
            "pacemaker-fenced",
            "notice: Operation 'reboot' targeting node1 by node2 for \
                 pacemaker-controld.271@node2: OK (complete)",
            "node1 has been fenced",
        ),
        (
            "pacemaker-fenced",
            "error: Operation 'reboot' targeting node1 by unknown node for \
                 pacemaker-controld.271@node2: Error occurred (No fence device)",
            "fencing of node1 FAILED",
        ),
        (
            "pacemaker-fenced",
            "notice: Operation 'reboot' [812] targeting node1 using f1 returned 0",
            "",
        ),
        (
            "pacemaker-controld",
            "notice: Initiating promote operation drbd_a_promote_0 locally on node2",
            "promote of drbd_a on node2 initiated",
        ),
        (
            "pacemaker-controld",
            "notice: Initiating migrate_to operation vm1_migrate_to_0 on node1",
            "migrate_to of vm1 on node1 initiated",
        ),
        (
            "pacemaker-controld",
            "notice: Initiating monitor operation vm1_monitor_10000 on node1",
            "",
        ),
        (
            "pacemaker-controld",
            "notice: Initiating notify operation d0_post_notify_demote_0 on node2",
            "",
        ),
        (
            "pacemaker-controld",
            "notice: Result of promote operation for d0 on node2: ok",
            "promote of d0 on node2: ok",
        ),
        (
            "pacemaker-controld",
            "notice: Result of monitor operation for vm1 on node2: not running",
            "monitor of vm1 on node2: not running",
        ),
        ("pacemaker-controld", "notice: Result of monitor operation for d0 on node2: Promoted", ""),
        ("pacemaker-controld", "notice: Result of notify operation for d0 on node2: ok", ""),
        // DRBD 8.4, as in drivers/block/drbd of Linux 6.1.
        ("kernel", "drbd r0: PingAck did not arrive in time.", "r0: peer lost (no answer to ping)"),
        (
            "kernel",
            "drbd r0: peer( Secondary -> Unknown ) conn( Connected -> NetworkFailure ) \
                 pdsk( UpToDate -> DUnknown ) susp( 0 -> 1 )",
            "r0: peer lost (NetworkFailure); r0: writes frozen",
        ),
        ("kernel", "drbd r0: conn( NetworkFailure -> Unconnected )", ""),
        ("kernel", "drbd r0: conn( Unconnected -> WFConnection )", ""),
        ("kernel", "drbd r0: helper command: /sbin/drbdadm fence-peer r0", "r0: fence-peer called"),
        (
            "kernel",
            "drbd r0: helper command: /sbin/drbdadm fence-peer r0 exit code 7 (0x700)",
            "r0: fence-peer answered 7",
        ),
        ("kernel", "drbd r0: susp( 1 -> 0 )", "r0: writes go on"),
        (
            "kernel",
            "block drbd0: role( Secondary -> Primary ) pdsk( DUnknown -> Outdated )",
            "drbd0: role Primary",
        ),
        (
            "kernel",
            "block drbd0: peer( Unknown -> Secondary ) conn( WFReportParams -> WFBitMapS ) \
                 pdsk( Outdated -> Consistent )",
            "drbd0: connected",
        ),
        (
            "kernel",
            "block drbd0: Began resync as SyncSource (will sync 64 KB [16 bits set]).",
            "drbd0: resync began",
        ),
        (
            "kernel",
            "block drbd0: Resync done (total 1 sec; paused 0 sec; 64 K/sec)",
            "drbd0: resync done",
        ),
        (
            "kernel",
            "block drbd0: conn( SyncSource -> Connected ) pdsk( Inconsistent -> UpToDate )",
            "",
        ),
        // DRBD 9.
        (
            "kernel",
            "drbd r0 node2: conn( Connected -> NetworkFailure ) peer( Secondary -> Unknown )",
            "r0 node2: peer lost (NetworkFailure)",
        ),
        ("kernel", "drbd r0: susp-io( no -> fencing )", "r0: writes frozen"),
        ("kernel", "drbd r0: susp-io( fencing -> no ) [after-fencing]", "r0: writes go on"),
        (
            "kernel",
            "drbd r0: Preparing cluster-wide state change 1793159487: 0->all role( Primary )",
            "",
        ),
        ("kernel", "drbd r0/0 drbd0 node2: resync-susp( no -> connection dependency )", ""),
        (
            "kernel",
            "drbd r0 node2: conn( Connecting -> Connected ) peer( Unknown -> Secondary )",
            "r0 node2: connected",
        ),
        ("kernel", "eth1: helper command: /sbin/drbdadm fence-peer r0", ""),
        ("cron", "Node node1 state is now lost", ""),
        ("crm-fence-peer", "placed", "crm-fence-peer: placed"),
    ];
    for (tag, text, expected) in table {
        assert_eq!(told(tag, text), expected, "{tag}: {text}");
    }
}
