//! What else is tried, when people want to know why nobody calls back. Invariant: a probe asks for nothing but a sign of life,
//! and takes two seconds.

use crate::diagnose::{Difference, Heard, Probe};
use crate::event::{Event, Trace};
use crate::key::Secrets;
use crate::options::given::Action;
use crate::options::order::{Multicast, Order, Origin, Route};
use crate::run;
use duet_xvm::{Algorithm, Protection};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

/// How long a probe waits for a call-back.
const LONGEST: Duration = Duration::from_secs(2);
/// How many routers are asked at most.
const ROUTERS: usize = 2;

/// Tries what could tell causes from each other.
pub(crate) fn all(order: &Order, secrets: &Secrets) -> Vec<Probe> {
    let Route::Multicast(multicast) = &order.route else { return Vec::new() };
    let mut probes = Vec::new();
    if multicast.group.is_ipv4() && multicast.group.is_multicast() {
        // A guest's router is often its host.
        for router in routers() {
            let to = Multicast { group: router, origin: Origin::default(), ..multicast.clone() };
            let heard = try_it(order, to, secrets);
            probes.push(Probe { what: Difference::Alone(router), heard });
        }
    }
    let key = secrets.key.as_ref().filter(|_| order.hash < Algorithm::Sha512);
    if let Some(Ok(hash)) = key.map(|key| Protection::new(Algorithm::Sha512, Some(key))) {
        let stronger = Secrets { hash, auth: secrets.auth.clone(), key: secrets.key.clone() };
        let heard = try_it(order, multicast.clone(), &stronger);
        probes.push(Probe { what: Difference::Strongest, heard });
    }
    probes
}

fn try_it(order: &Order, multicast: Multicast, secrets: &Secrets) -> Heard {
    let route = Route::Multicast(Multicast { retransmit: LONGEST / 2, attempts: 2, ..multicast });
    let order = Order { action: Action::Monitor, route, timeout: LONGEST, ..order.clone() };
    let mut trace = Trace::new("", 0);
    let _ = run::ask(&order, secrets, &mut trace);
    let saw = |wanted: fn(&Event) -> bool| trace.events().iter().any(wanted);
    if saw(|event| matches!(event, Event::CalledBack(_))) {
        Heard::CallBack
    } else if saw(|event| matches!(event, Event::NobodyThere(_))) {
        Heard::NobodyThere
    } else {
        Heard::Nothing
    }
}

/// The routers that this host sends by.
fn routers() -> Vec<IpAddr> {
    let table = duet_host::file::read_text(Path::new("/proc/net/route"), 1 << 20);
    routers_in(&table.unwrap_or_default())
}

/// The routers in the kernel's table: the third column, where it is not zero, in the order of memory.
fn routers_in(table: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in table.lines().skip(1) {
        let gateway = line.split_whitespace().nth(2);
        let number = gateway.and_then(|text| u32::from_str_radix(text, 16).ok()).unwrap_or(0);
        let router = IpAddr::from(Ipv4Addr::from(number.to_ne_bytes()));
        if number != 0 && !found.contains(&router) && found.len() < ROUTERS {
            found.push(router);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn routers_are_those_of_the_kernels_table() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\n\
                     eth0\t00000000\t017AA8C0\t0003\t0\neth0\t007AA8C0\t00000000\t0001\t0\n\
                     eth1\t0000000A\t017AA8C0\t0003\t0\n";
        assert_eq!(routers_in(table), [IpAddr::from([192, 168, 122, 1])]);
        assert!(routers_in("").is_empty() && routers_in("x\ny z\n").is_empty());
    }
}
