//! What is said without asking anybody: help, metadata, and each bad input. Invariant: stdout has nothing but what was asked
//! for, and nothing that is wrong ends with 0.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use quick_xml::Reader;
use quick_xml::events::Event;
use stage::{Stage, called, client, told};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares with what is committed; `UPDATE=1` writes it.
fn assert_committed(path: &str, rendered: &str) {
    let path = root().join(path);
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(&path, rendered).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == rendered, "{} is not the table's: UPDATE=1", path.display());
}

/// Elements with their attributes and texts, white space folded, and each parameter as one string.
fn parameters(xml: &str) -> (Vec<String>, Vec<String>) {
    let mut reader = Reader::from_str(xml);
    let (mut rest, mut parameters) = (Vec::new(), Vec::new());
    let mut parameter: Option<String> = None;
    loop {
        let event = reader.read_event().unwrap();
        let words = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let text = match &event {
            Event::Eof => return (rest, parameters),
            Event::Start(start) | Event::Empty(start) => format!("<{}>", words(start)),
            Event::End(end) => format!("</{}>", words(end)),
            Event::Text(text) => words(text),
            other => words(other),
        };
        let is_parameter = |tag: &str| text.starts_with(tag);
        if is_parameter("<parameter ") {
            parameter = Some(String::new());
        }
        match &mut parameter {
            Some(all) => all.push_str(&text),
            None if !text.is_empty() => rest.push(text.clone()),
            None => {}
        }
        if is_parameter("</parameter>") {
            parameters.extend(parameter.take());
        }
    }
}

#[test]
fn situation_36_metadata_are_those_of_stock_and_what_is_ours() {
    for program in ["fence_xvm", "fence_virt"] {
        let recorded = root().join(format!("tests/recorded/fence-virt-4.12.1/{program}.xml"));
        let recorded = std::fs::read_to_string(recorded).unwrap();
        let ran = called(program, &["-o", "metadata"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert_committed(&format!("ocf-metadata/{program}.xml"), &ran.stdout);
        // In later versions than the recorded one it is called so.
        let recorded = recorded.replace("an I/O Fencing agent", "a Power Fencing agent");
        let (stock_rest, stock) = parameters(&recorded);
        let (rest, mut ours) = parameters(&ran.stdout);
        assert_eq!(rest, stock_rest);
        assert_eq!(ours.len(), stock.len() + 2);
        ours.retain(|parameter| {
            !["\"interface\"", "\"source_address\""].iter().any(|ours| parameter.contains(ours))
        });
        assert_eq!(ours, stock, "{program}");
    }
}

#[test]
fn man_pages_are_what_is_committed() {
    use fence_xvm_agent::options::{Program, man};
    for program in [Program::Xvm, Program::Virt] {
        assert_committed(&format!("docs/man/{}.8", program.name()), &man::page(program));
    }
}

#[test]
fn metadata_may_be_asked_for_by_pacemaker_too() {
    let ran = told("fence_xvm", "action=metadata\n");
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout.starts_with("<?xml version=\"1.0\" ?>\n<resource-agent name=\"fence_xvm\""));
    assert_eq!(told("fence_xvm", "option=metadata\n").stdout, ran.stdout);
}

#[test]
fn help_and_version_go_to_stdout_and_are_no_error() {
    for word in ["-h", "-?", "--help"] {
        let ran = called("fence_xvm", &[word, "-t", "0"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{word}");
        assert!(ran.stdout.starts_with("usage: fence_xvm [args]\n"));
        assert!(ran.stdout.contains("  -i <family>           IP Family ([auto], ipv4, ipv6)\n"));
        assert!(ran.stdout.contains("\n  multicast_address     Multicast address"));
        assert!(!ran.stdout.contains("-H"));
    }
    let ran = called("/some/where/fence_virt", &["-V"]);
    assert_eq!(ran.said().0, Some(0));
    assert!(ran.stdout.starts_with("fence_virt "));
}

#[test]
fn any_other_name_is_fence_virt() {
    for name in ["fence_virt", "fence_xvm2", "xvm"] {
        assert!(called(name, &["-h"]).stdout.starts_with("usage: fence_virt "), "{name}");
    }
    assert!(called("./fence_xvm", &["-h"]).stdout.starts_with("usage: fence_xvm "));
}

#[test]
fn what_is_wrong_is_said_on_stderr_and_ends_with_1() {
    for (line, first) in [
        ("-o foo -H x", "Unsupported operation: foo"),
        ("-o off", "No domain specified!"),
        ("-o devstatus -H x", "Unsupported operation: devstatus"),
        ("-t 0 -o list", "Invalid timeout: '0'"),
        ("-p 70000 -o list", "Invalid port: '70000'"),
        ("-r 0 -o list", "Invalid retransmit time: '0'"),
        ("-c md5 -o list", "Unsupported hash: md5"),
        ("-C md5 -o list", "Unsupported auth type: md5"),
        ("-i ipx -o list", "Unsupported family: 'ipx'"),
        ("-a foo -o list", "Could not determine address family"),
        ("-H x -n y -o status", "Domain/UUID may not be specified more than once"),
        (
            "-o list -k /nonexistent/key",
            "Invalid key file: '/nonexistent/key' (No such file or directory)",
        ),
        ("-o list -I nosuch0", "Invalid interface: nosuch0: No such device"),
        ("-o list -b x", "Invalid source address: 'x'"),
        ("-Z -H x", "fence_xvm: invalid option -- 'Z'"),
        ("-o list -H", "fence_xvm: option requires an argument -- 'H'"),
        ("-T 1.2.3.4 -o list", "fence_xvm: invalid option -- 'T'"),
        ("-H x status", "Unexpected argument: 'status'"),
        ("--json -o status -H x", "--json does not go with status"),
        ("--diagnose -o off -H x", "--diagnose does not go with off"),
    ] {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ran = called("fence_xvm", &words);
        assert_eq!(ran.said(), (Some(1), ""), "{line}");
        assert_eq!(ran.stderr.lines().next(), Some(first), "{line}");
        assert!(ran.stderr.contains("usage: fence_xvm [args]"), "{line}");
    }
}

#[test]
fn validate_all_looks_at_the_options_and_is_silent_about_the_usage() {
    let ran = called("fence_xvm", &["-o", "validate-all", "-H", "x"]);
    assert_eq!((ran.said(), ran.stderr.as_str()), ((Some(0), ""), ""));
    let ran = told("fence_xvm", "action=validate-all\nplug=x\nkey_file=/nonexistent/key\n");
    let wanted = "Invalid key file: '/nonexistent/key' (No such file or directory)\n";
    assert_eq!((ran.said(), ran.stderr.as_str()), ((Some(1), ""), wanted));
    let ran = told("fence_xvm", "action=validate-all\n");
    assert_eq!((ran.said(), ran.stderr.as_str()), ((Some(1), ""), "No domain specified!\n"));
}

#[test]
fn situation_36_unknown_names_are_told_and_passed_over() {
    let ran = told("fence_xvm", "# pacemaker\nfoo=bar\naction=validate-all\nnodename=n\nplug=x\n");
    let wanted = "Parse error: Ignoring unknown option 'foo'\n";
    assert_eq!((ran.said(), ran.stderr.as_str()), ((Some(0), ""), wanted));
}

#[test]
fn nothing_said_is_no_domain_and_the_names_are_shown() {
    let ran = told("fence_xvm", "");
    assert_eq!(ran.said(), (Some(1), ""));
    assert!(ran.stderr.starts_with("No domain specified!\n  debug "), "{}", ran.stderr);
}

#[test]
fn input_that_is_too_long_or_no_text_is_refused() {
    let ran = told("fence_xvm", &"x=y\n".repeat(20_000));
    assert_eq!(ran.said(), (Some(1), ""));
    assert!(ran.stderr.starts_with("Standard input has more than 65536 bytes\n"));
    let mut running = stage::Running::of(client("fence_xvm").stdin(Stdio::piped()));
    std::io::Write::write_all(&mut running.child.stdin.take().unwrap(), b"plug=\xff\n").unwrap();
    let ran = running.wait();
    assert!(ran.stderr.starts_with("Standard input is not UTF-8\n"), "{}", ran.stderr);
    let word = std::ffi::OsStr::from_bytes(b"\xff");
    let ran = stage::Running::of(client("fence_xvm").arg(word)).wait();
    assert_eq!(ran.said(), (Some(1), ""));
}

#[test]
fn situation_38_a_key_that_cannot_be_read_or_is_empty_is_an_error() {
    let stage = Stage::new();
    let empty = stage.file("empty", b"");
    let directory = stage.directory.path();
    for (path, why) in [
        (empty.as_path(), format!("{}: The key is empty\n", empty.display())),
        (directory, format!("{} is not a regular file; not trying without\n", directory.display())),
    ] {
        let ran = called("fence_xvm", &["-o", "list", "-k", path.to_str().unwrap()]);
        let wanted = format!("{why}Operation failed\n");
        assert_eq!((ran.said(), ran.stderr.as_str()), ((Some(1), ""), wanted.as_str()));
    }
}

#[test]
fn situation_38_the_default_key_that_is_missing_is_an_error() {
    if Path::new(duet_xvm::KEY_FILE).exists() {
        return println!("skipped: this machine has {}", duet_xvm::KEY_FILE);
    }
    for line in ["-o list", "-o list -c none", "-o list -C none"] {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ran = called("fence_xvm", &words);
        assert_eq!(ran.said(), (Some(1), ""), "{line}");
        let first = ran.stderr.lines().next().unwrap();
        assert!(first.starts_with("Could not read /etc/cluster/fence_xvm.key: "), "{first}");
        assert!(first.ends_with("not trying without"), "{first}");
    }
}
