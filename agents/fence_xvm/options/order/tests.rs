//! Whole command lines, as fence_virt 4.12.1 takes and refuses them where nothing else is said.

use super::*;
use crate::options::argv;

fn command(program: Program, line: &str) -> Command {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    decide(program, argv::read(program, &words))
}

fn xvm(line: &str) -> Command {
    command(Program::Xvm, line)
}

fn asked(command: Command) -> Order {
    match command {
        Command::Ask(order) | Command::Validate(order) => order,
        other => panic!("{other:?}"),
    }
}

fn refused(command: Command) -> String {
    match command {
        Command::Refuse { complaints, .. } => complaints.join("; "),
        other => panic!("{other:?}"),
    }
}

fn multicast(line: &str) -> Multicast {
    match asked(xvm(line)).route {
        Route::Multicast(multicast) => multicast,
        other => panic!("{other:?}"),
    }
}

#[test]
fn help_comes_before_the_version_and_both_before_complaints() {
    assert_eq!(xvm("-V -h -t 0"), Command::Help);
    assert_eq!(xvm("-V -t 0"), Command::Version);
}

#[test]
fn without_a_domain_only_what_is_about_none_is_done() {
    for action in ["null", "off", "on", "reboot", "status", "validate-all"] {
        assert_eq!(refused(xvm(&format!("-o {action}"))), "No domain specified!");
    }
    assert_eq!(refused(xvm("-d")), "No domain specified!");
    for action in ["monitor", "list", "list-status"] {
        assert_eq!(asked(xvm(&format!("-o {action}"))).domain, None);
    }
    assert_eq!(xvm("-o metadata"), Command::Metadata);
}

#[test]
fn reboot_is_what_is_done_when_nothing_was_said() {
    assert_eq!(asked(xvm("-H x")).action, Action::Reboot);
}

#[test]
fn only_what_fences_waits_for_the_delay() {
    for (action, seconds) in [("off", 5), ("null", 5), ("status", 0), ("monitor", 0), ("list", 0)] {
        let order = asked(xvm(&format!("-o {action} -H x -w 5")));
        assert_eq!(order.delay.as_secs(), seconds, "{action}");
    }
}

#[test]
fn the_usage_follows_unless_only_the_options_were_to_be_looked_at() {
    for (line, wanted) in [("-o list -t 0", true), ("-o validate-all", false)] {
        let Command::Refuse { with_usage, .. } = xvm(line) else { panic!("{line}") };
        assert_eq!(with_usage, wanted, "{line}");
    }
}

#[test]
fn the_group_has_the_family_that_was_asked_for() {
    for (line, group) in [
        ("", "225.0.0.12"),
        ("-i auto", "225.0.0.12"),
        ("-i ipv6", "ff05::3:1"),
        ("-a 239.1.2.3", "239.1.2.3"),
        ("-a ff02::3:1", "ff02::3:1"),
        ("-i ipv6 -a ff02::3:1", "ff02::3:1"),
        ("-b fd99::2", "ff05::3:1"),
        ("-a 10.0.0.1", "10.0.0.1"),
    ] {
        assert_eq!(multicast(&format!("-o list {line}")).group.to_string(), group, "{line}");
    }
    for (line, complaint) in [
        ("-a foo", "Could not determine address family"),
        ("-i ipv4 -a foo", "Invalid multicast address: 'foo'"),
        ("-a foo.bar", "Invalid multicast address: 'foo.bar'"),
        ("-i ipv6 -a 225.0.0.12", "Multicast address 225.0.0.12 is of the other family"),
        ("-b 10.0.0.1 -i ipv6", "The source address and the multicast address are of two families"),
        ("-b 0.0.0.0", "Invalid source address: '0.0.0.0'"),
        ("-b x", "Invalid source address: 'x'"),
    ] {
        assert_eq!(refused(xvm(&format!("-o list {line}"))), complaint, "{line}");
    }
}

#[test]
fn situation_40_there_is_at_least_one_attempt() {
    for (line, attempts) in [
        ("", 15),
        ("-t 5", 2),
        ("-t 1", 1),
        ("-t 1 -r 20", 1),
        ("-t 5 -r 5", 10),
        ("-t 1 -r 99", 1),
    ] {
        assert_eq!(multicast(&format!("-o list {line}")).attempts, attempts, "{line}");
    }
}

#[test]
fn fence_virt_goes_by_vsock_before_tcp_before_serial_before_the_channel() {
    let route = |line: &str| asked(command(Program::Virt, &format!("-o list {line}"))).route;
    assert_eq!(route("-S -T host -D /dev/ttyS0"), Route::Vsock { cid: 2, port: 1229 });
    assert!(matches!(route("-T host -D /dev/ttyS0"), Route::Tcp { host, .. } if host == "host"));
    assert!(matches!(route("-D /dev/ttyS0"), Route::Serial { .. }));
    let channel = Route::Channel { address: [10, 0, 2, 179].into(), port: 1229 };
    assert_eq!(route(""), channel);
}

#[test]
fn serial_parameters_are_speed_and_framing() {
    let line = |text: &str| text.parse::<Line>();
    let plain = Line { speed: 115_200, bits: 8, parity: None, two_stop_bits: false };
    assert_eq!(line("115200,8N1"), Ok(plain));
    assert_eq!(line("115200"), Ok(plain));
    assert_eq!(
        line(",7e2").map(|line| (line.speed, line.bits, line.parity)),
        Ok((9600, 7, Some(Parity::Even)))
    );
    assert_eq!(line("2400,5O2").map(|line| line.two_stop_bits), Ok(true));
    for text in ["300", "115200,8", "115200,8N", "115200,8X1", "x,8N1"] {
        assert_eq!(line(text), Err(()), "{text}");
    }
}

#[test]
fn to_find_out_why_it_does_not_work_fences_nobody() {
    assert_eq!(asked(xvm("--diagnose")).action, Action::Monitor);
    assert_eq!(asked(xvm("--diagnose -H x")).action, Action::Monitor);
    assert_eq!(asked(xvm("--diagnose -o status -H x")).action, Action::Status);
    for action in ["null", "off", "on", "reboot", "metadata"] {
        let why = refused(xvm(&format!("--diagnose -H x -o {action}")));
        assert_eq!(why, format!("--diagnose does not go with {action}"));
    }
    assert_eq!(refused(xvm("--json -o status -H x")), "--json does not go with status");
}
