//! Carries bytes over TCP and says how fast: what `hack/bench cluster` runs in the namespaces of hosts and pods.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context;

/// One write; a window of the default size holds several.
const CHUNK: usize = 128 * 1024;
/// Pings whose median counts.
const PINGS: usize = 5_000;
/// The first byte of a connection says what it is for.
const BULK: u8 = b'b';
const PING: u8 = b'p';

/// How fast a way is.
pub(crate) struct Speed {
    pub(crate) bits_per_second: f64,
    /// Of one byte, there and back.
    pub(crate) round_trip: Duration,
}

/// Answers connections for ever.
pub(crate) fn serve(at: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(at).with_context(|| format!("cannot listen on {at}"))?;
    for connection in listener.incoming() {
        let connection = connection?;
        // A client that goes away in the middle is its own affair.
        std::thread::spawn(move || answer(connection).ok());
    }
    Ok(())
}

fn answer(mut connection: TcpStream) -> anyhow::Result<()> {
    connection.set_nodelay(true)?;
    let mut kind = [0];
    connection.read_exact(&mut kind)?;
    match kind[0] {
        BULK => {
            let mut buffer = vec![0; CHUNK];
            let mut total: u64 = 0;
            loop {
                match connection.read(&mut buffer)? {
                    0 => break,
                    read => total += read as u64,
                }
            }
            connection.write_all(&total.to_be_bytes())?;
        }
        _ => loop {
            connection.read_exact(&mut kind)?;
            connection.write_all(&kind)?;
        },
    }
    Ok(())
}

/// Measures the way to a server, for about so long.
pub(crate) fn measure(to: SocketAddr, bulk: Duration) -> anyhow::Result<Speed> {
    Ok(Speed { bits_per_second: bits_per_second(to, bulk)?, round_trip: round_trip(to)? })
}

fn bits_per_second(to: SocketAddr, bulk: Duration) -> anyhow::Result<f64> {
    let mut connection = connect(to, BULK)?;
    let (chunk, started) = (vec![0; CHUNK], Instant::now());
    while started.elapsed() < bulk {
        connection.write_all(&chunk)?;
    }
    connection.shutdown(Shutdown::Write)?;
    let mut total = [0; 8];
    connection.read_exact(&mut total)?;
    Ok(u64::from_be_bytes(total) as f64 * 8.0 / started.elapsed().as_secs_f64())
}

fn round_trip(to: SocketAddr) -> anyhow::Result<Duration> {
    let mut connection = connect(to, PING)?;
    let mut times = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let sent = Instant::now();
        connection.write_all(b".")?;
        connection.read_exact(&mut [0])?;
        times.push(sent.elapsed());
    }
    times.sort_unstable();
    Ok(times[PINGS / 2])
}

fn connect(to: SocketAddr, kind: u8) -> anyhow::Result<TcpStream> {
    let mut connection = TcpStream::connect(to).with_context(|| format!("cannot connect to {to}"))?;
    connection.set_nodelay(true)?;
    connection.write_all(&[kind])?;
    Ok(connection)
}

/// What [`measure`] found, as one line that [`parse`] reads.
pub(crate) fn line(speed: &Speed) -> String {
    format!("{} {}", speed.bits_per_second, speed.round_trip.as_nanos())
}

/// Reads the line of [`line`].
pub(crate) fn parse(line: &str) -> anyhow::Result<Speed> {
    let (bits, nanoseconds) = line.trim().split_once(' ').context("not a line of two numbers")?;
    Ok(Speed { bits_per_second: bits.parse()?, round_trip: Duration::from_nanos(nanoseconds.parse()?) })
}
