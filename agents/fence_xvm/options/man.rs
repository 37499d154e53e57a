//! The manual pages, from the table and the prose below. Every text goes through one escaping function, so that no
//! description can become a troff request.

use super::{Argument, Opt, Program};
use std::fmt::Write;

/// What each option is for, where the table's one line is not enough.
const MORE: &[(&str, &str)] = &[
    (
        "multicast_address",
        "An address that is no group's is a host's, which is then asked alone, by a datagram.",
    ),
    (
        "ipport",
        "With multicast also the port at which the daemon calls back. When another program has it, any other port is \
         taken and named in the request, so that several clients can run at once; packet filters on this machine \
         have to let that in.",
    ),
    (
        "interface",
        "Requests by multicast leave by this interface alone, and connections by tcp too.",
    ),
    (
        "source_address",
        "With multicast the only address that the daemon is asked to call back. It has to be one of this host.",
    ),
    (
        "key_file",
        "The first 4096 bytes count, each of them. A key that cannot be read or is empty is an error, unless hash \
         and auth are both none.",
    ),
    ("hash", "The daemon takes what is at least as strong as its own setting."),
    (
        "auth",
        "Has to be the daemon's. fence_virtd of fence-virt always has sha256 with tcp and vsock, whatever its file says.",
    ),
    ("use_uuid", "Daemons tell a UUID by its looks."),
    ("action", "list-status is list. What is said last counts."),
    (
        "timeout",
        "How long to wait for the daemon to call back, rounded down to whole times of retransmission but at least one; and \
         then how long to wait for its answer.",
    ),
    ("delay", "Before null, off, on and reboot."),
    (
        "ipaddr",
        "A name will do. When it has several addresses, they are tried in turn, each for 3 seconds.",
    ),
    (
        "vsock",
        "The number has to be glued to the letter, as in -S3. Without one it is 2, the host.",
    ),
    (
        "serial_device",
        "A terminal, or a character device that is none, such as a virtio port. Without it, the channel is used.",
    ),
];

const STATUS: &[(&str, &str)] = &[
    ("0", "Done; with status: the domain is on."),
    ("1", "Not done, or a wrong option. Also what the daemon answers when it cannot tell."),
    ("2", "With status: the domain is off."),
    ("3", "The daemon does not permit it."),
    ("255", "No answer, though the daemon was reached; or nobody could have called back."),
];

/// The page of a program, for section 8.
#[must_use]
pub fn page(program: Program) -> String {
    let mut page = String::with_capacity(8 * 1024);
    // Writing to a String cannot fail.
    let _ = render(program, &mut page);
    page
}

fn render(program: Program, page: &mut String) -> std::fmt::Result {
    let name = program.name();
    let troff_name = troff(name);
    writeln!(
        page,
        ".TH \"{}\" 8 \"\" \"{}\" \"Fence agents\"",
        troff(&name.to_uppercase()),
        env!("CARGO_PKG_VERSION")
    )?;
    writeln!(page, ".SH NAME\n{troff_name} \\- fence agent for virtual machines")?;
    writeln!(page, ".SH SYNOPSIS\n.B {troff_name}\n[options]\n.br\n.B {troff_name}\n< options")?;
    writeln!(page, ".SH DESCRIPTION")?;
    let (how, other) = match program {
        Program::Xvm => (
            "by multicast: it sends a request from each address of this machine, and the daemon calls back",
            "fence_virt is the same program, which asks by tcp, vsock, a serial line or a channel.",
        ),
        Program::Virt => (
            "by tcp (\\-T), vsock (\\-S), a serial line (\\-D), or else a channel that QEMU forwards an address to",
            "fence_xvm is the same program, which asks by multicast. The channel and the serial line prove nothing: \
             whoever is at the other end is believed.",
        ),
    };
    writeln!(
        page,
        "Asks a fence_virtd to end, start or look at a libvirt domain, {how}. Both sides prove that they have the key. {other}"
    )?;
    writeln!(
        page,
        ".PP\nWithout any word on the command line, options are read from standard input, one name=value in a line, as \
         Pacemaker does it: the names are those in parentheses below. A value ends at the first blank, except that of a domain. \
         Names that nobody knows are passed over with a line on standard error. Lines that begin with # are comments."
    )?;
    writeln!(
        page,
        ".PP\nNothing is waited for without an end. Standard output has only the status, the list, or what was asked \
         for by \\-h, \\-V and metadata; all else goes to standard error. What was done to a domain leaves one line in syslog \
         (facility daemon), with the fingerprint of the key."
    )?;
    page.push_str(".SH OPTIONS\n");
    for option in program.options().iter().filter(|option| option.letter != '?') {
        entry(page, option)?;
    }
    page.push_str(
        ".TP\n.B \\-\\-json\nWith list: one JSON object, {\"hosts\": [{\"name\", \"uuid\", \"on\", \"state\"}]}, where state is libvirt's \
         number.\n.TP\n.B \\-\\-diagnose\nTells what was sent and what came back, and what to look at when no answer came: network, multicast, \
         packet filter, daemon, key, hash or auth. Goes with monitor, status and list, and is monitor when nothing was \
         said. When nobody calls back, the same is tried towards the routers of this machine alone, and signed with sha512.\n",
    );
    page.push_str(".SH EXIT STATUS\n");
    for (code, text) in STATUS {
        writeln!(page, ".TP\n.B {code}\n{}", troff(text))?;
    }
    page.push_str(".SH FILES\n.TP\n.I /etc/cluster/fence_xvm.key\nThe key: at best 4096 random bytes, readable by root alone, the same on both sides.\n");
    page.push_str(".SH EXAMPLE\n.nf\n");
    page.push_str(match program {
        Program::Xvm => {
            "fence_xvm \\-o list\nfence_xvm \\-o status \\-H web\nfence_xvm \\-\\-diagnose\n\
             pcs stonith create fence\\-web fence_xvm pcmk_host_map=\"node1:web\"\n"
        }
        Program::Virt => {
            "fence_virt \\-T host1 \\-o list\nfence_virt \\-S \\-o status \\-H web\nfence_virt \\-D /dev/ttyS1 \\-o off \\-H web\n"
        }
    });
    page.push_str(".fi\n.SH SEE ALSO\n");
    let see = match program {
        Program::Xvm => "fence_virt",
        Program::Virt => "fence_xvm",
    };
    writeln!(page, ".BR {} (8),\n.BR fence_virtd (8),\n.BR fence_virt.conf (5)", troff(see))
}

fn entry(page: &mut String, option: &Opt) -> std::fmt::Result {
    let gap = if option.argument == Argument::Glued { "" } else { " " };
    writeln!(page, ".TP")?;
    write!(page, ".B \\-{}", option.letter)?;
    if !option.placeholder.is_empty() {
        write!(page, "{gap}\\fI{}\\fR", troff(option.placeholder.trim_matches(['<', '>'])))?;
    }
    if let Some(name) = option.name {
        write!(page, " \\fR({})", troff(name))?;
    }
    writeln!(page, "\n{}.", troff(option.description.trim_end_matches('.')))?;
    if option.deprecated {
        page.push_str("The old name of plug.\n");
    }
    let more = MORE.iter().find(|(name, _)| Some(*name) == option.name);
    if let Some((_, text)) = more {
        writeln!(page, "{}", troff(text))?;
    }
    Ok(())
}

/// Text as troff takes it.
fn troff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
