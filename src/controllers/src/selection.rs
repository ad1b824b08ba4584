//! Which controllers run, as `--controllers` says it.

/// The words of `--controllers`, in upstream's meaning: `*` is every controller, `name` one of them, `-name` all but
/// that one where there is a `*`. A name counts more than the star (upstream `genericcontrollermanager.IsControllerEnabled`).
#[derive(Clone, Debug)]
pub struct Selection(Vec<String>);

impl Selection {
    /// Takes the words.
    ///
    /// # Errors
    /// With the first word that names no controller.
    pub fn new(words: Vec<String>) -> Result<Self, UnknownController> {
        let is_known = |word: &str| {
            let name = word.strip_prefix('-').unwrap_or(word);
            word == "*" || super::all().iter().any(|controller| controller.name == name)
        };
        match words.iter().find(|word| !is_known(word)) {
            Some(unknown) => Err(UnknownController(unknown.clone())),
            None => Ok(Self(words)),
        }
    }

    /// Whether a controller runs.
    pub(crate) fn contains(&self, name: &str) -> bool {
        let named = |word: &String| match word.strip_prefix('-') {
            Some(own) if own == name => Some(false),
            None if word == name => Some(true),
            _ => None,
        };
        self.0.iter().find_map(named).unwrap_or_else(|| self.0.iter().any(|word| word == "*"))
    }
}

impl Default for Selection {
    fn default() -> Self {
        Self(vec!["*".to_owned()])
    }
}

/// A word of `--controllers` that names none.
#[derive(Debug, thiserror::Error)]
#[error("no controller is called {0:?}")]
pub struct UnknownController(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &str, runs: &[&str], rests: &[&str]) {
        let selection = Selection::new(words.split(',').map(str::to_owned).collect()).unwrap();
        assert!(runs.iter().all(|name| selection.contains(name)), "{words}");
        assert!(!rests.iter().any(|name| selection.contains(name)), "{words}");
    }

    #[test]
    fn names_count_more_than_the_star() {
        check("*", &["deployment-controller"], &[]);
        check("*,-deployment-controller", &["replicaset-controller"], &["deployment-controller"]);
        check("deployment-controller", &["deployment-controller"], &["replicaset-controller"]);
    }

    #[test]
    fn a_name_that_no_controller_has_is_an_error() {
        let error = Selection::new(vec!["-deploymnt".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "no controller is called \"-deploymnt\"");
    }
}
