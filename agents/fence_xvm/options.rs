//! The one table of what can be said to either program: letters, names on standard input, defaults, descriptions.
//! Command line, standard input, usage, man page and metadata come from it. Invariant: what stock has is in stock's order
//! and in stock's words; what is ours comes behind it.

pub mod argv;
pub mod given;
pub mod man;
pub mod order;
pub mod render;
pub mod stdin;

use std::ffi::OsStr;
use std::path::Path;

/// Which of the two programs we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// By multicast.
    Xvm,
    /// By tcp, vsock, a serial line or a channel.
    Virt,
}

impl Program {
    /// By the name under which it was called: exactly `fence_xvm`, or else the other.
    #[must_use]
    pub fn called(argv0: Option<&OsStr>) -> Self {
        let name = argv0.and_then(|argv0| Path::new(argv0).file_name());
        if name == Some(OsStr::new("fence_xvm")) { Self::Xvm } else { Self::Virt }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Xvm => "fence_xvm",
            Self::Virt => "fence_virt",
        }
    }

    /// What can be said to it on the command line, in the order of usage and metadata.
    #[must_use]
    pub fn options(self) -> &'static [Opt] {
        match self {
            Self::Xvm => &XVM,
            Self::Virt => &VIRT,
        }
    }

    /// The option with this letter.
    #[must_use]
    pub fn by_letter(self, letter: char) -> Option<&'static Opt> {
        self.options().iter().find(|option| option.letter == letter)
    }

    /// The option with this long name, without its two hyphens.
    #[must_use]
    pub fn by_long_name(self, name: &str) -> Option<Setting> {
        let long = [
            ("help", Setting::Help),
            ("version", Setting::Version),
            ("diagnose", Setting::Diagnose),
            ("json", Setting::Json),
        ];
        long.into_iter().find(|(known, _)| *known == name).map(|(_, setting)| setting)
    }

    /// What a name on standard input sets.
    #[must_use]
    pub fn by_name(self, name: &str) -> Option<Setting> {
        let others = [
            ("agent", Setting::Ignored),
            ("self", Setting::Ignored),
            ("nodename", Setting::Ignored),
            ("option", Setting::Action),
            ("domain", Setting::Domain),
        ];
        let own = self.options().iter().filter_map(|option| Some((option.name?, option.setting)));
        own.chain(others).find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, it)| it)
    }
}

/// What an option sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Nothing; Pacemaker and its predecessors send it all the same.
    Ignored,
    /// How much is said on stderr.
    Debug,
    /// The address family of multicast.
    Family,
    /// The multicast group.
    Group,
    /// The host of tcp.
    Host,
    /// The peer's number on vsock.
    Cid,
    /// The address of a channel.
    Channel,
    /// The port of every transport but serial.
    Port,
    /// The interface that requests leave by.
    Interface,
    /// The address that requests come from.
    Source,
    /// The time between copies.
    Retransmit,
    /// How a request is signed.
    Hash,
    /// How both sides prove that they have the key.
    Auth,
    /// Where the key is.
    KeyFile,
    /// The device of a serial line.
    Device,
    /// Speed and framing of a serial line.
    Line,
    /// What to do.
    Action,
    /// To whom.
    Domain,
    /// The flag that daemons do not look at.
    UseUuid,
    /// How long.
    Timeout,
    /// How long to wait before it.
    Delay,
    /// Show the usage.
    Help,
    /// Show the version.
    Version,
    /// Say what happens, and why it does not work.
    Diagnose,
    /// A list for programs.
    Json,
}

/// Whether an option has an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// No.
    None,
    /// Yes.
    Required,
    /// Only if it is glued to the letter.
    Glued,
}

/// One option.
#[derive(Debug)]
pub struct Opt {
    /// The letter on the command line.
    pub letter: char,
    /// Whether it has an argument there.
    pub argument: Argument,
    /// What stands for it in the usage, after the letter.
    pub placeholder: &'static str,
    /// The name on standard input.
    pub name: Option<&'static str>,
    /// The type in the metadata.
    pub content: &'static str,
    /// The default in the metadata.
    pub default: Option<&'static str>,
    /// Whether the metadata call it required.
    pub required: bool,
    /// What it replaces, in the metadata.
    pub obsoletes: Option<&'static str>,
    /// Left out of the usage.
    pub deprecated: bool,
    /// What it is.
    pub description: &'static str,
    /// What it sets.
    pub setting: Setting,
}

const fn opt(letter: char, name: &'static str, description: &'static str, setting: Setting) -> Opt {
    Opt {
        letter,
        argument: Argument::Required,
        placeholder: "",
        name: if name.is_empty() { None } else { Some(name) },
        content: "string",
        default: None,
        required: false,
        obsoletes: None,
        deprecated: false,
        description,
        setting,
    }
}

/// The actions as both programs name them.
const ACTIONS: &str = "Fencing action (null, off, on, [reboot], status, list, list-status, monitor, validate-all, metadata)";
const DOMAIN: &str = "Virtual Machine (domain name) to fence";

const DEBUG: Opt = Opt {
    argument: Argument::None,
    content: "boolean",
    ..opt('d', "debug", "Specify (stdin) or increment (command line) debug level", Setting::Debug)
};
const FAMILY: Opt = Opt {
    placeholder: "<family>",
    default: Some("auto"),
    ..opt('i', "ip_family", "IP Family ([auto], ipv4, ipv6)", Setting::Family)
};
const GROUP: Opt = Opt {
    placeholder: "<address>",
    ..opt(
        'a',
        "multicast_address",
        "Multicast address (default=225.0.0.12 / ff05::3:1)",
        Setting::Group,
    )
};
const HOST: Opt = Opt {
    placeholder: "<address>",
    default: Some("127.0.0.1"),
    ..opt(
        'T',
        "ipaddr",
        "IP address to connect to in TCP mode (default=127.0.0.1 / ::1)",
        Setting::Host,
    )
};
const CID: Opt = Opt {
    argument: Argument::Glued,
    placeholder: "<cid>",
    content: "integer",
    default: Some("2"),
    ..opt('S', "vsock", "vm socket CID to connect to in vsock mode", Setting::Cid)
};
const CHANNEL: Opt = Opt {
    placeholder: "<address>",
    default: Some("10.0.2.179"),
    ..opt('A', "channel_address", "VM Channel IP address (default=10.0.2.179)", Setting::Channel)
};
const PORT: Opt = Opt {
    placeholder: "<port>",
    default: Some("1229"),
    ..opt(
        'p',
        "ipport",
        "TCP, Multicast, VMChannel, or VM socket port (default=1229)",
        Setting::Port,
    )
};
const INTERFACE: Opt = Opt {
    placeholder: "<interface>",
    ..opt('I', "interface", "Network interface to send requests by", Setting::Interface)
};
const SOURCE: Opt = Opt {
    placeholder: "<address>",
    ..opt(
        'b',
        "source_address",
        "Address of this host to send requests from (default=all of them)",
        Setting::Source,
    )
};
const RETRANSMIT: Opt = Opt {
    placeholder: "<retrans>",
    default: Some("20"),
    ..opt('r', "retrans", "Multicast retransmit time (in 1/10sec; default=20)", Setting::Retransmit)
};
const HASH: Opt = Opt {
    placeholder: "<hash>",
    default: Some("sha256"),
    ..opt('c', "hash", "Packet hash strength (none, sha1, [sha256], sha512)", Setting::Hash)
};
const AUTH: Opt = Opt {
    placeholder: "<auth>",
    default: Some("sha256"),
    ..opt('C', "auth", "Authentication (none, sha1, [sha256], sha512)", Setting::Auth)
};
const KEY_FILE: Opt = Opt {
    placeholder: "<file>",
    default: Some(duet_xvm::KEY_FILE),
    ..opt('k', "key_file", "Shared key file (default=/etc/cluster/fence_xvm.key)", Setting::KeyFile)
};
const DEVICE: Opt = Opt {
    placeholder: "<device>",
    default: Some("/dev/ttyS1"),
    ..opt('D', "serial_device", "Serial device (default=/dev/ttyS1)", Setting::Device)
};
const LINE: Opt = Opt {
    placeholder: "<param>",
    default: Some("115200,8N1"),
    ..opt('P', "serial_params", "Serial Parameters (default=115200,8N1)", Setting::Line)
};
const ACTION: Opt = Opt {
    placeholder: "<operation>",
    default: Some("reboot"),
    ..opt('o', "action", ACTIONS, Setting::Action)
};
const PLUG: Opt = Opt {
    placeholder: "<domain>",
    required: true,
    obsoletes: Some("port"),
    ..opt('n', "plug", DOMAIN, Setting::Domain)
};
const OLD_PORT: Opt = Opt {
    placeholder: "<domain>",
    required: true,
    deprecated: true,
    ..opt('H', "port", DOMAIN, Setting::Domain)
};
const USE_UUID: Opt = Opt {
    argument: Argument::None,
    default: Some("0"),
    ..opt(
        'u',
        "use_uuid",
        "Treat [domain] as UUID instead of domain name. This is provided for compatibility with older fence_xvmd installations.",
        Setting::UseUuid,
    )
};
const TIMEOUT: Opt = Opt {
    placeholder: "<timeout>",
    default: Some("30"),
    ..opt('t', "timeout", "Fencing timeout (in seconds; default=30)", Setting::Timeout)
};
const DELAY: Opt = Opt {
    placeholder: "<delay>",
    default: Some("0"),
    ..opt('w', "delay", "Fencing delay (in seconds; default=0)", Setting::Delay)
};
const HELP: Opt = Opt { argument: Argument::None, ..opt('h', "", "Help", Setting::Help) };
const HELP_TOO: Opt =
    Opt { argument: Argument::None, ..opt('?', "", "Help (alternate)", Setting::Help) };
const VERSION: Opt =
    Opt { argument: Argument::None, ..opt('V', "", "Display version and exit", Setting::Version) };

static XVM: [Opt; 19] = [
    DEBUG, FAMILY, GROUP, PORT, RETRANSMIT, AUTH, HASH, KEY_FILE, PLUG, OLD_PORT, USE_UUID, ACTION,
    TIMEOUT, HELP_TOO, HELP, VERSION, DELAY, INTERFACE, SOURCE,
];
static VIRT: [Opt; 20] = [
    DEBUG, DEVICE, LINE, CHANNEL, PORT, PLUG, OLD_PORT, ACTION, TIMEOUT, HELP_TOO, HELP, VERSION,
    HOST, CID, AUTH, HASH, KEY_FILE, DELAY, INTERFACE, SOURCE,
];
