//! Every client with every daemon, transport, hash and proof. Each cell is asked for something that only a client and a
//! daemon that understand each other can answer, and each pairing refuses a wrong key.

use super::{GUESTS, Stage, V4, Whose};
use crate::failure::Result;
use crate::scenario::{Story, claim};

const ALGORITHMS: [&str; 4] = ["none", "sha1", "sha256", "sha512"];

/// Two clients, and for each family of multicast two daemons with 16 settings; for tcp, 16 of ours and 4 of Debian's.
const CELLS: usize = 2 * (2 * 2 * 16 + 16 + 4);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    MulticastV4,
    MulticastV6,
    Tcp,
}

impl Transport {
    const ALL: [Self; 3] = [Self::MulticastV4, Self::MulticastV6, Self::Tcp];

    fn name(self) -> &'static str {
        match self {
            Self::MulticastV4 => "multicast, IPv4",
            Self::MulticastV6 => "multicast, IPv6",
            Self::Tcp => "tcp",
        }
    }

    /// The listener's name, and what its section says.
    fn listener(self) -> (&'static str, String) {
        match self {
            Self::MulticastV4 => ("multicast", "interface = \"daemons\";".to_owned()),
            Self::MulticastV6 => {
                ("multicast", "interface = \"daemons\"; family = \"ipv6\";".to_owned())
            }
            Self::Tcp => ("tcp", format!("address = \"{V4}\";")),
        }
    }

    /// The client's name, and how it is told.
    fn client(self) -> (&'static str, String) {
        match self {
            Self::MulticastV4 => ("fence_xvm", String::new()),
            Self::MulticastV6 => ("fence_xvm", "-i ipv6".to_owned()),
            Self::Tcp => ("fence_virt", format!("-T {V4}")),
        }
    }
}

/// A daemon of the matrix.
struct Column {
    whose: Whose,
    transport: Transport,
    hash: &'static str,
    auth: &'static str,
    port: u16,
}

/// The daemons of one transport, each on a port of its own.
fn columns(transport: Transport) -> Vec<Column> {
    let mut columns = Vec::new();
    for whose in Whose::BOTH {
        for hash in ALGORITHMS {
            for auth in ALGORITHMS {
                // Debian's daemon takes `auth` of tcp for the hash: there, the proof is always sha256.
                if whose == Whose::Debian && transport == Transport::Tcp && auth != "sha256" {
                    continue;
                }
                let port = 2000 + u16::try_from(columns.len()).unwrap_or(u16::MAX);
                columns.push(Column { whose, transport, hash, auth, port });
            }
        }
    }
    columns
}

pub(super) fn run(stage: &Stage, tell: &mut dyn FnMut(&str)) -> Result<Story> {
    let mut wrong = Vec::new();
    let mut cells = 0;
    for transport in Transport::ALL {
        let columns = columns(transport);
        for column in &columns {
            let (kind, mut listener) = transport.listener();
            listener += &format!(" hash = \"{}\";", column.hash);
            if transport != Transport::Tcp || column.whose == Whose::Ours {
                listener += &format!(" auth = \"{}\";", column.auth);
            }
            stage.daemon(column.whose, column.port, kind, &listener)?;
        }
        let ports: Vec<u16> = columns.iter().map(|column| column.port).collect();
        stage.listen(&ports)?;
        for column in &columns {
            for client in Whose::BOTH {
                cells += 1;
                wrong.extend(cell(stage, client, column)?.map(|what| {
                    let Column { hash, auth, .. } = column;
                    format!(
                        "{} client, {} daemon, {}, hash {hash}, auth {auth}: {what}",
                        client.name(),
                        column.whose.name(),
                        column.transport.name()
                    )
                }));
            }
        }
        stage.end_daemons()?;
        tell(&format!("{}: {} daemons, {cells} cells so far", transport.name(), columns.len()));
    }
    claim(cells == CELLS, || format!("{cells} cells were asked, and there are {CELLS}"))?;
    claim(wrong.is_empty(), || wrong.join("\n"))?;
    Ok(Story::default())
}

/// Asks one daemon by one client; what is wrong with the answers comes back.
fn cell(stage: &Stage, whose: Whose, column: &Column) -> Result<Option<String>> {
    let (name, how) = column.transport.client();
    let client = stage.client(whose, name);
    let Column { hash, auth, port, .. } = column;
    let common = format!("{how} -p {port} -c {hash} -C {auth} -t 10");
    let ask = |key: &str, what: &str| {
        stage.ask(&client, &format!("{common} -k {}/{key} {what}", stage.dir))
    };
    let (status, list) = ask("key", "-o list")?;
    let told = GUESTS.iter().all(|(name, uuid)| list.contains(name) && list.contains(uuid));
    if status != 0 || !told {
        return Ok(Some(format!("list ended with {status}: {list}")));
    }
    for (guest, wanted) in [("vm1", 0), ("vm2", 2)] {
        let (status, said) = ask("key", &format!("-o status -H {guest}"))?;
        if status != wanted {
            return Ok(Some(format!("status of {guest} ended with {status}: {said}")));
        }
    }
    // Power is the same whatever was hashed: once for each pairing and transport.
    if (*hash, *auth) != ("sha256", "sha256") {
        return Ok(None);
    }
    for (order, wanted) in [("on", "running"), ("reboot", "running"), ("off", "shut off")] {
        let (status, said) = ask("key", &format!("-o {order} -H {}", GUESTS[1].1))?;
        let state = stage.state("vm2")?;
        if status != 0 || state != wanted {
            return Ok(Some(format!("{order} ended with {status} and {state}: {said}")));
        }
    }
    let (status, said) = ask("wrong", "-t 2 -o off -H vm1")?;
    let state = stage.state("vm1")?;
    if status == 0 || state != "running" {
        return Ok(Some(format!("off with a wrong key ended with {status} and {state}: {said}")));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pairing_has_a_daemon_of_its_own_on_a_port_of_its_own() {
        let daemons = Transport::ALL.map(columns);
        assert_eq!(daemons.iter().map(Vec::len).sum::<usize>() * Whose::BOTH.len(), CELLS);
        for columns in &daemons {
            assert!(columns.windows(2).all(|pair| pair[0].port < pair[1].port));
        }
        let tcp = daemons[2].iter().filter(|column| column.whose == Whose::Debian);
        assert!(tcp.into_iter().all(|column| column.auth == "sha256"));
    }
}
