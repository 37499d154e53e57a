//! An agent built on duet-ocf and duet-host keeps the whole contract without further ado.

use duet_conformance::{Subject, Verdict, check_all};

#[test]
fn the_minimal_agent_passes() {
    // Examples are built with the tests, beside them.
    let mut path = std::env::current_exe().expect("a test is a file");
    path.pop();
    let path = path.with_file_name("examples").join("minimal-agent");
    let subject = Subject::new(&path, Vec::new()).expect("the example has been built");
    for finding in check_all(&subject) {
        match finding.verdict {
            Verdict::Pass => {}
            Verdict::Skipped(why) => {
                println!("skipped: {}: {why}", finding.check);
                assert_ne!(finding.check, "bad-booleans-are-refused");
            }
            Verdict::Fail(how) => panic!("{}: {how}", finding.check),
        }
    }
}
