//! One connection of the library, on a thread of its own. Invariant: who asks never waits beyond the deadline, and after
//! a call that did not come back in time nothing is asked any more.

use std::{
    sync::{
        Once,
        mpsc::{Sender, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use duet_libvirt_rpc::Error;
use virt::{connect::Connect, error::Error as VirtError};

use crate::fault::meaning;

/// A daemon that is silent for this long, so many times, is gone: calls then fail instead of hanging.
const KEEPALIVE_SECONDS: i32 = 5;
const KEEPALIVE_COUNT: u32 = 5;

type Job = Box<dyn FnOnce(&Connect) + Send>;

/// Somebody who makes the calls.
#[derive(Debug)]
pub(crate) struct Worker {
    /// None once a call was abandoned, or after good-bye.
    jobs: Option<Sender<Job>>,
    from: Instant,
    limit: Duration,
}

impl Worker {
    /// Connects.
    pub(crate) fn open(uri: &str, limit: Duration) -> Result<Self, Error> {
        prepare();
        let (jobs, todo) = channel::<Job>();
        let (tell, told) = sync_channel(1);
        let uri = uri.to_owned();
        let from = Instant::now();
        thread::spawn(move || match kept_alive(&uri) {
            Ok(mut connection) => {
                let _ = tell.send(Ok(()));
                for job in todo {
                    job(&connection);
                }
                let _ = connection.close();
            }
            Err(error) => {
                let _ = tell.send(Err(error));
            }
        });
        match told.recv_timeout(limit) {
            Ok(Ok(())) => Ok(Self { jobs: Some(jobs), from, limit }),
            Ok(Err(error)) => Err(meaning(&error)),
            Err(_) => Err(Error::Overdue { doing: "connect", limit }),
        }
    }

    pub(crate) fn allow(&mut self, limit: Duration) {
        (self.from, self.limit) = (Instant::now(), limit);
    }

    /// Nothing waits for what the thread still has to do.
    pub(crate) fn close(&mut self) {
        self.jobs = None;
    }

    /// Makes a call; `doing` completes "could not".
    pub(crate) fn ask<T: Send + 'static>(
        &mut self,
        doing: &'static str,
        call: impl FnOnce(&Connect) -> Result<T, VirtError> + Send + 'static,
    ) -> Result<T, Error> {
        let jobs = self.jobs.as_ref().ok_or(Error::Broken)?;
        let (tell, told) = sync_channel(1);
        let job: Job = Box::new(move |connection| {
            let _ = tell.send(call(connection));
        });
        jobs.send(job).map_err(|_| Error::Broken)?;
        let left = self.limit.saturating_sub(self.from.elapsed());
        match told.recv_timeout(left) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(meaning(&error)),
            Err(_) => {
                self.jobs = None;
                Err(Error::Overdue { doing, limit: self.limit })
            }
        }
    }
}

fn kept_alive(uri: &str) -> Result<Connect, VirtError> {
    let connection = connect(uri)?;
    // Drivers within the library have no daemon to keep alive, and say so.
    let _ = connection.set_keep_alive(KEEPALIVE_SECONDS, KEEPALIVE_COUNT);
    Ok(connection)
}

/// Connects, on the thread that calls. A call to a daemon that freezes does not come back.
pub(crate) fn connect(uri: &str) -> Result<Connect, VirtError> {
    Connect::open(Some(uri))
}

/// Once, before the first connection: nothing on stderr, and the loop that keepalive needs.
pub(crate) fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        virt::error::clear_error_callback();
        if virt::event::event_register_default_impl().is_ok() {
            thread::spawn(|| while virt::event::event_run_default_impl().is_ok() {});
        }
    });
}
