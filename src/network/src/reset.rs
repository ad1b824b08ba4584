//! Removes what an instance has on the machine, found by name: nothing else needs to be known of it.

use crate::{
    Error,
    links::Links,
    names, netns,
    nft::{Batch, Socket},
};

/// Removes the tables, links and routes of one instance. Repeatable; the files of the address records are the caller's.
///
/// # Errors
/// The kernel's, when something could not be removed.
pub fn reset(instance: &str) -> Result<(), Error> {
    let mut socket = Socket::open()?;
    for table in [names::table(instance), names::pods_table(instance), names::mesh_table(instance)] {
        let mut batch = Batch::new(table);
        // Deleting what is not there is an error; adding what is there is none.
        batch.add_table().delete_table();
        batch.commit(&mut socket)?;
    }
    // The caller may be inside a runtime already, where another cannot be driven; a thread of its own can.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| netns::block_on(remove_links(instance)));
        thread.join().unwrap_or(Err(Error::Ended("the thread that removes links")))
    })
}

async fn remove_links(instance: &str) -> Result<(), Error> {
    let links = Links::open()?;
    for (name, _) in links.named(&names::link_prefix(instance)).await? {
        links.delete(&name).await?;
    }
    links.delete_routes(names::route_metric(instance)).await
}
