//! The tests that hold over any engine, as one module per engine. The directory is where they are, seen from the caller.

macro_rules! suite {
    ($over:ident, $directory:tt, $fresh:path, $open:path) => {
        #[path = $directory]
        mod $over {
            mod place {
                pub(super) use $fresh as fresh;
                pub(super) use $open as open_on;

                pub(super) async fn open(options: store::Options) -> store::Store {
                    open_on(&fresh(), options).await
                }
            }
            #[path = "commit.rs"]
            mod commit;
            #[path = "list.rs"]
            mod list;
            #[path = "reopen.rs"]
            mod reopen;
            #[path = "watch.rs"]
            mod watch;
        }
    };
}
