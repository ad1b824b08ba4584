//! The committed facts are those of the Kubernetes version that we name.

#[test]
fn committed_facts_are_what_the_generator_writes() {
    testing::upstream::run("./generate", &["--check"]);
}
