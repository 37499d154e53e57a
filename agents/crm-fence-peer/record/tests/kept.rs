//! Records as files: nothing in their directory, or about their disk, matters to a call. Invariant: each test names what it
//! claims.
#![allow(clippy::disallowed_methods, reason = "tests look at files themselves")]

use std::{
    collections::BTreeSet,
    fs,
    os::unix::{ffi::OsStringExt, fs::PermissionsExt},
    time::Duration,
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// Of this resource and time, and one for which no disk is waited for.
fn of(resource: &str, seconds: u64) -> Record {
    let mut record = fenced();
    let asked = record.asked.as_mut().unwrap();
    (asked.resource, asked.mode) = (resource.to_owned(), Mode::Unfence);
    record.began.of_day = Duration::from_secs(seconds);
    record
}

fn names(store: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(store).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_record_is_kept_for_root_alone() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("duet/fence-peer");
    let store = Store::at(&directory);
    let record = fenced();
    let path = store.keep(&record, PATIENCE).unwrap();
    assert_eq!(Record::read(&path).unwrap(), record);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&path), mode(&directory)), (0o600, 0o700));
    assert_eq!(names(&directory).len(), 1);
}

#[test]
fn there_are_never_more_than_a_hundred_of_a_resource_and_the_oldest_goes() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::at(home.path());
    let now = clock::of_day().as_secs();
    let mut paths = Vec::new();
    for second in 0..104 {
        paths.push(store.keep(&of("r0", now - 1000 + second), PATIENCE).unwrap());
    }
    let other = store.keep(&of("r1", 1), PATIENCE).unwrap();
    let there: Vec<bool> = paths.iter().map(|path| path.exists()).collect();
    assert_eq!(there.iter().filter(|is| **is).count(), 100);
    assert!(there[4..].iter().all(|is| *is) && other.exists());
}

#[test]
fn unfence_calls_push_no_record_of_a_fence_call_out() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::at(home.path());
    let now = clock::of_day().as_secs();
    let fence = store.keep(&of("r0", now - 1000), PATIENCE).unwrap();
    let mut unfence = of("r0", now);
    unfence.program = "crm-unfence-peer".to_owned();
    for second in 0..120 {
        unfence.began.of_day = Duration::from_secs(now - 500 + second);
        store.keep(&unfence, PATIENCE).unwrap();
    }
    assert!(fence.exists());
    assert_eq!(names(home.path()).len(), 101);
}

#[test]
fn what_is_too_old_goes_but_not_the_last_twenty() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::at(home.path());
    let mut paths = Vec::new();
    // All of them from 1970, as after a battery has failed.
    for second in 0..30 {
        paths.push(store.keep(&of("r0", second), PATIENCE).unwrap());
    }
    let there: Vec<bool> = paths.iter().map(|path| path.exists()).collect();
    assert!(there[..10].iter().all(|is| !is) && there[10..].iter().all(|is| *is), "{there:?}");
}

#[test]
fn the_newest_record_stays_when_the_clock_has_gone_back() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::at(home.path());
    let now = clock::of_day().as_secs();
    for second in 0..100 {
        store.keep(&of("r0", now + second), PATIENCE).unwrap();
    }
    let path = store.keep(&of("r0", 5), PATIENCE).unwrap();
    assert!(path.exists());
    assert_eq!(names(home.path()).len(), 100);
}

#[test]
fn hostile_names_in_the_directory_are_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let outside = home.path().join("outside");
    fs::write(&outside, "precious").unwrap();
    let directory = home.path().join("records");
    fs::create_dir(&directory).unwrap();
    let not_text = OsString::from_vec(vec![b'r', 0xff]);
    fs::write(directory.join(not_text), "x").unwrap();
    for name in ["r0", "r0.json", "r0.1.1.1.json.bak", "-rf", "new\nline", "r0.1.1.x.json"] {
        fs::write(directory.join(name), "x").unwrap();
    }
    fs::create_dir(directory.join("r0.0.0.1.json")).unwrap();
    for number in 0..120 {
        let name = format!("r0.0000000001.{number:09}.7.json");
        std::os::unix::fs::symlink(&outside, directory.join(name)).unwrap();
    }
    let path = Store::at(&directory).keep(&fenced(), PATIENCE).unwrap();
    assert!(path.exists() && directory.join("r0.0.0.1.json").is_dir());
    assert_eq!(fs::read_to_string(&outside).unwrap(), "precious");
    // Seven files and one directory with other names, and what is left of the links.
    let left = fs::read_dir(&directory).unwrap().count();
    assert!((9..=28).contains(&left), "{left}");
}

#[test]
fn a_directory_that_takes_nothing_is_an_error_and_no_more() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "x").unwrap();
    let link = home.path().join("link");
    std::os::unix::fs::symlink(home.path(), &link).unwrap();
    for directory in [file.clone(), file.join("below"), link, "/proc/duet/fence-peer".into()] {
        let error = Store::at(&directory).keep(&fenced(), PATIENCE).unwrap_err();
        let text = duet_ocf::chain(&error);
        assert!(
            text.starts_with(&format!("Could not keep a record in {}: ", directory.display())),
            "{text}"
        );
    }
    assert_eq!(names(home.path()).len(), 2);
}

#[test]
fn a_resource_of_any_name_has_its_records_in_the_directory() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("records");
    for resource in ["../../x", "/", ".", "", "a\nb", &"r".repeat(1000)] {
        let path = Store::at(&directory).keep(&of(resource, 9), PATIENCE).unwrap();
        assert_eq!(path.parent(), Some(directory.as_path()), "{resource}");
        assert_eq!(Record::read(&path).unwrap().asked.unwrap().resource, resource);
    }
    assert_eq!(names(&directory).len(), 6);
    assert_eq!(names(home.path()).len(), 1);
}
