//! What is known to go wrong is found, each in the world where it does, and its story is the one that is kept; the same world
//! without its cause has none. Invariant: `UPDATE=1` writes the stories, nothing else does.
#![allow(clippy::disallowed_methods, reason = "a test that reads what it compares with")]

use std::{fs, path::PathBuf};

use explorer::{story, walk::walk, worlds};

const LIMIT: usize = 1_500_000;

#[test]
fn each_known_counterexample_is_found_and_ours_has_none_where_it_was() {
    let update = std::env::var_os("UPDATE").is_some_and(|value| value == "1");
    for known in worlds::stories() {
        let name = known.name;
        let walked = walk(&known.world, LIMIT, 1);
        let found = walked.found.unwrap_or_else(|| panic!("{name}: nothing found"));
        assert_eq!(found.name, known.breaks, "{name}");
        let told = format!("{}\n{}\n", story::story(&known.world, &found), story::LEGEND);
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("stories/{name}.txt"));
        if update {
            fs::write(&path, &told).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(told, kept, "{name}: another story; see it with UPDATE=1 and git diff");
        let cured = walk(&known.cure, LIMIT, 1);
        let story = cured.found.map(|found| story::story(&known.cure, &found));
        assert!(story.is_none(), "{name}, cured: {}", story.unwrap_or_default());
        println!(
            "{name}: {} states; without it {}, whole: {}",
            walked.states, cured.states, cured.is_whole
        );
    }
}
