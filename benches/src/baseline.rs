//! The baseline: a web server that does nothing but one shared fdatasync per request.
//!
//! What it reaches is what the machine, the kernel's TCP and this load generator allow; a homeserver is read against
//! it in the same run. Every request appends a fixed number of bytes to one preallocated file; requests that arrive
//! while a sync is in flight share the next one; a request is answered only after the sync that covers it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use crate::error::Result;
use crate::http::find;

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const FIRST_CONNECTION: usize = 2;
/// What a request writes: about the size of a message event.
const RECORD_BYTES: usize = 700;
/// The file is written over from the start when this is full.
const FILE_BYTES: u64 = 64 * 1024 * 1024;
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"event_id\":\"$0\"}";

struct Peer {
    stream: TcpStream,
    received: Vec<u8>,
}

/// Serves until the process is killed. `ready` is told the address once it accepts.
pub fn serve(listen: SocketAddr, dir: &Path, ready: impl FnOnce(SocketAddr)) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(listen)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
    let (to_disk, disk_queue) = channel();
    let (to_answer, answers) = channel();
    let file = preallocate(&dir.join("baseline.log"))?;
    std::thread::spawn(move || sync_loop(file, &disk_queue, &to_answer, &waker));
    ready(listener.local_addr()?);

    let mut peers: Vec<Option<Peer>> = Vec::new();
    let mut events = Events::with_capacity(256);
    let mut scratch = vec![0; 64 * 1024];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            match event.token() {
                LISTENER => accept(&listener, &poll, &mut peers)?,
                WAKER => answer(&answers, &mut peers),
                Token(token) => {
                    receive(token - FIRST_CONNECTION, &mut peers, &mut scratch, &to_disk);
                }
            }
        }
    }
}

fn preallocate(path: &Path) -> Result<File> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    let zeros = vec![0; 1024 * 1024];
    for _ in 0..FILE_BYTES / zeros.len() as u64 {
        file.write_all(&zeros)?;
    }
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// Writes and syncs what is waiting, as one; then says who may be answered.
fn sync_loop(mut file: File, queue: &Receiver<usize>, to_answer: &Sender<Vec<usize>>, waker: &Waker) {
    let mut position = 0;
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        batch.extend(queue.try_iter());
        let bytes = vec![0x65; RECORD_BYTES * batch.len()];
        if position + bytes.len() as u64 > FILE_BYTES {
            position = 0;
            file.seek(SeekFrom::Start(0)).expect("the baseline's file can be rewound");
        }
        position += bytes.len() as u64;
        file.write_all(&bytes).and_then(|()| file.sync_data()).expect("the baseline's disk works");
        if to_answer.send(batch).is_err() || waker.wake().is_err() {
            return;
        }
    }
}

fn accept(listener: &TcpListener, poll: &Poll, peers: &mut Vec<Option<Peer>>) -> Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        stream.set_nodelay(true)?;
        let token = Token(peers.len() + FIRST_CONNECTION);
        poll.registry().register(&mut stream, token, Interest::READABLE)?;
        peers.push(Some(Peer { stream, received: Vec::new() }));
    }
}

fn receive(index: usize, peers: &mut [Option<Peer>], scratch: &mut [u8], to_disk: &Sender<usize>) {
    let Some(peer) = &mut peers[index] else {
        return;
    };
    loop {
        match peer.stream.read(scratch) {
            Ok(0) => break,
            Ok(count) => peer.received.extend_from_slice(&scratch[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if take_request(&mut peer.received) {
                    to_disk.send(index).expect("the sync thread runs as long as the server");
                }
                return;
            }
            Err(_) => break,
        }
    }
    peers[index] = None;
}

/// Removes one complete request from the front, if there is one.
fn take_request(received: &mut Vec<u8>) -> bool {
    let Some(head_bytes) = find(received, b"\r\n\r\n").map(|at| at + 4) else {
        return false;
    };
    let head = String::from_utf8_lossy(&received[..head_bytes]).to_ascii_lowercase();
    let length = head.split("content-length:").nth(1).and_then(|rest| rest.lines().next());
    let length: usize = length.and_then(|digits| digits.trim().parse().ok()).unwrap_or(0);
    if received.len() < head_bytes + length {
        return false;
    }
    received.drain(..head_bytes + length);
    true
}

fn answer(answers: &Receiver<Vec<usize>>, peers: &mut [Option<Peer>]) {
    for index in answers.try_iter().flatten() {
        let Some(peer) = &mut peers[index] else {
            continue;
        };
        if peer.stream.write_all(ANSWER).is_err() {
            peers[index] = None;
        }
    }
}
