//! Reads the elements of a map: for maps that rules fill, nobody else knows what is in them.

use std::io;

use super::{
    attributes::{Attributes, Header, find, parse},
    socket::exchange,
};

/// Keys and data of the elements of a map, as they are in registers.
pub(crate) fn elements(table: &str, map: &str) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    const ELEMENTS: u16 = 3;
    let mut attributes = Attributes::default();
    attributes.string(1, table).string(2, map);
    let header = Header {
        kind: (libc::NFNL_SUBSYS_NFTABLES << 8 | libc::NFT_MSG_GETSETELEM) as u16,
        flags: libc::NLM_F_DUMP as u16,
        sequence: 0,
        family: libc::NFPROTO_IPV4 as u8,
        resource: 0,
    };
    let mut request = Vec::new();
    header.write(&attributes.into_bytes(), &mut request);
    let replies = exchange(&request)?;
    let lists = replies.iter().filter_map(|reply| find(reply.get(Header::LENGTH..)?, ELEMENTS));
    Ok(lists.flat_map(parse).filter_map(|(_, element)| key_and_data(element)).collect())
}

fn key_and_data(element: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    const KEY: u16 = 1;
    const DATA: u16 = 2;
    const VALUE: u16 = 1;
    let value = |part| find(find(element, part)?, VALUE).map(<[u8]>::to_vec);
    Some((value(KEY)?, value(DATA)?))
}
