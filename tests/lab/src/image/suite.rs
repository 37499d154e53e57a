//! Which packages the nodes of a Debian release have: one list for all, and what single releases have otherwise.
//! Invariant: what one release has otherwise is in that one's image only, and in the name of no other image.

/// What is installed in every release.
pub(super) const PACKAGES: &str = include_str!("../../image/packages");
/// What a release has otherwise. One that is not named here has the list as it is.
const DIFFERENCES: [(&str, &str); 1] = [("trixie", include_str!("../../image/packages.trixie"))];

/// The names of the packages of a release.
pub(super) fn packages(suite: &str) -> Vec<&'static str> {
    let differences: Vec<&str> = difference(suite).into_iter().flat_map(words).collect();
    let without: Vec<&str> = differences.iter().filter_map(|word| word.strip_prefix('-')).collect();
    let more = differences.iter().copied().filter(|word| !word.starts_with('-'));
    words(PACKAGES).filter(|name| !without.contains(name)).chain(more).collect()
}

/// The text of what a release has otherwise.
pub(super) fn difference(suite: &str) -> Option<&'static str> {
    DIFFERENCES.iter().find(|(named, _)| *named == suite).map(|(_, text)| *text)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_without_differences_has_the_common_list() {
        assert_eq!(packages("bookworm"), words(PACKAGES).collect::<Vec<_>>());
        assert_eq!(difference("bookworm"), None);
    }

    #[test]
    fn a_release_leaves_out_and_adds_what_its_list_says() {
        for (suite, text) in DIFFERENCES {
            let list = packages(suite);
            for word in words(text) {
                match word.strip_prefix('-') {
                    Some(name) => {
                        assert!(words(PACKAGES).any(|common| common == name), "{name}");
                        assert!(!list.contains(&name), "{name}");
                    }
                    None => assert!(list.contains(&word), "{word}"),
                }
            }
            assert!(list.iter().all(|name| !name.starts_with('-')), "{list:?}");
        }
    }
}
