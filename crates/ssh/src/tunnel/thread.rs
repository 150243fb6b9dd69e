//! The thread that moves the bytes of a tunnel.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use machine_core::{Code, Error, Result};
use ssh2::{Channel, Listener};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot};

use super::handle::End;
use super::joint::{Joint, Step, is_of_one_channel};
use super::orders::{BACKLOG, BUFFER, Caller, Order};
use crate::connect::{Fault, KEEPALIVE, Session};
use crate::pump::{SILENCE, Stop};
use crate::readiness::{Interest, wait};
use crate::settle::settle;

/// Looked at again after this, at first. One channel's reading takes in what is for others, so that no wait tells of it: as long as
/// not much time has passed since anything moved, nothing is left lying for longer than that again.
const SOON: Duration = Duration::from_millis(1);

pub(super) struct TunnelThread {
    session: Session,
    caller: Arc<Caller>,
    orders: mpsc::UnboundedReceiver<Order>,
    /// What is waited for to be opened: one thing at a time, as libssh2 keeps the state of that in the session.
    waiting: VecDeque<(Order, Option<Channel>)>,
    joints: Vec<Joint>,
    listening: Vec<(Listener, mpsc::Sender<DuplexStream>)>,
    pulse: Pulse,
}

/// Asks a silent machine for a sign of life.
///
/// It asks for something that a channel of its own is refused. libssh2's keepalive is not fit for a connection that lives long:
/// the answers to it stay in its queue for ever, where they are taken for the answers to later requests
/// (`ssh2_channel_read`, `channel_forward_listen` in its channel.c).
#[derive(Default)]
struct Pulse {
    channel: Option<Channel>,
    asked: bool,
    /// How long nothing was heard, as far as this thread was awake: a computer that slept heard nothing either.
    silence: Duration,
}

fn patience() -> Result<Duration, Stop> {
    Ok(KEEPALIVE)
}

impl TunnelThread {
    pub(super) fn new(session: Session, caller: Arc<Caller>, orders: mpsc::UnboundedReceiver<Order>) -> Self {
        Self {
            session,
            caller,
            orders,
            waiting: VecDeque::new(),
            joints: Vec::new(),
            listening: Vec::new(),
            pulse: Pulse::default(),
        }
    }

    /// Works until nobody has a handle any more, or the connection is lost.
    pub(super) fn run(mut self) -> End {
        match self.work() {
            Ok(()) => End { code: Code::Other, text: format!("the SSH tunnel to {} was closed", self.session.peer) },
            Err(stop) => {
                // What was going on is unknown: nothing more is said.
                self.session.spoilt = true;
                let error = self.session.lost("an SSH tunnel", stop);
                End { code: error.code(), text: error.to_string() }
            }
        }
    }

    fn work(&mut self) -> Result<(), Stop> {
        let waker = Waker::from(Arc::clone(&self.caller));
        let mut context = Context::from_waker(&waker);
        let mut limit = SOON;
        let mut ready = false;
        loop {
            self.caller.heard();
            if !self.take_orders() {
                return Ok(());
            }
            let mut moved = self.open_next()?;
            moved |= self.accept()?;
            let mut index = 0;
            while index < self.joints.len() {
                match self.joints[index].step(&self.session, &patience, &mut context)? {
                    Step::Over => {
                        self.joints.swap_remove(index);
                        moved = true;
                        continue;
                    }
                    Step::Moved => moved = true,
                    Step::Idle => {}
                }
                index += 1;
            }
            // Something has come that nobody here reads: a request of sshd's own, or the end of the connection.
            self.pulse.asked |= ready && !moved && self.joints.is_empty();
            moved |= self.feel_pulse()?;
            if moved {
                limit = SOON;
                ready = false;
                continue;
            }
            let began = Instant::now();
            let read = Interest { read: true, write: false };
            ready = wait(&self.session.socket, read, Some(self.caller.socket()), limit)?;
            if ready {
                self.pulse.silence = Duration::ZERO;
                limit = SOON;
            } else {
                self.pulse.silence += began.elapsed().min(limit);
                limit = (limit * 2).min(KEEPALIVE);
            }
        }
    }

    /// Whether anybody may still order something.
    fn take_orders(&mut self) -> bool {
        loop {
            match self.orders.try_recv() {
                Ok(order) => self.waiting.push_back((order, None)),
                Err(mpsc::error::TryRecvError::Empty) => return true,
                Err(mpsc::error::TryRecvError::Disconnected) => return false,
            }
        }
    }

    /// Goes on opening what is first in the queue. Returns whether that came to an end.
    fn open_next(&mut self) -> Result<bool, Stop> {
        let Some((order, channel)) = self.waiting.front_mut() else { return Ok(false) };
        let session = &self.session;
        let opened = match order {
            Order::Exec { command, .. } => start(session, channel, command),
            Order::Pulse => {
                let opened = settle(session, &patience, || session.ssh.channel_session());
                opened.map(|found| found.map(Opened::Channel))
            }
            Order::Connect { host, port, .. } => {
                let opened = settle(session, &patience, || session.ssh.channel_direct_tcpip(host, *port, None));
                opened.map(|found| found.map(Opened::Channel))
            }
            Order::Listen { port, .. } => {
                let listen = || session.ssh.channel_forward_listen(*port, Some("127.0.0.1"), Some(BACKLOG));
                settle(session, &patience, listen)
                    .map(|found| found.map(|(listener, port)| Opened::Listener(listener, port)))
            }
        };
        let opened = match opened {
            Ok(None) => return Ok(false),
            Ok(Some(opened)) => Ok(opened),
            // LIBSSH2_ERROR_REQUEST_DENIED (libssh2.h): a port that may not be listened on.
            Err(Stop::Fault(Fault::Ssh(error)))
                if is_of_one_channel(&error) || error.code() == ssh2::ErrorCode::Session(-32) =>
            {
                Err(error)
            }
            Err(stop) => return Err(stop),
        };
        if let Some((order, _)) = self.waiting.pop_front() {
            self.answer(order, opened);
        }
        Ok(true)
    }

    fn answer(&mut self, order: Order, opened: Result<Opened, ssh2::Error>) {
        let peer = &self.session.peer;
        let refused = |what: String, error: ssh2::Error| Error::other(format!("{peer} refuses {what}")).because(error);
        // Whoever has asked may have gone: what was opened is then closed again.
        match (order, opened) {
            (Order::Exec { reply, .. }, Ok(Opened::Channel(channel))) => {
                let (theirs, ours) = duplex(BUFFER);
                let (end, ended) = oneshot::channel();
                let _ = reply.send(Ok((theirs, ended)));
                self.joints.push(Joint::new(channel, ours, Some(end)));
            }
            (Order::Connect { reply, .. }, Ok(Opened::Channel(channel))) => {
                let (theirs, ours) = duplex(BUFFER);
                let _ = reply.send(Ok(theirs));
                self.joints.push(Joint::new(channel, ours, None));
            }
            (Order::Listen { reply, .. }, Ok(Opened::Listener(listener, port))) => {
                let (sender, receiver) = mpsc::channel(BACKLOG as usize);
                if reply.send(Ok((port, receiver))).is_ok() {
                    self.listening.push((listener, sender));
                }
            }
            (Order::Exec { command, reply }, Err(error)) => {
                let _ = reply.send(Err(refused(format!("to run `{command}`"), error)));
            }
            (Order::Connect { host, port, reply }, Err(error)) => {
                let _ = reply.send(Err(refused(format!("a connection to {host}:{port}"), error)));
            }
            (Order::Listen { port, reply }, Err(error)) => {
                let _ = reply.send(Err(refused(format!("to let us listen on its port {port}"), error)));
            }
            (Order::Pulse, Ok(Opened::Channel(channel))) => self.pulse.channel = Some(channel),
            // Too many sessions: a sign of life as well.
            (Order::Pulse, Err(_)) => self.pulse.asked = false,
            // What was opened is what was ordered.
            (_, Ok(_)) => {}
        }
    }

    /// Takes connections that were made inside the machine.
    fn accept(&mut self) -> Result<bool, Stop> {
        let mut moved = false;
        let mut index = 0;
        while index < self.listening.len() {
            let (listener, sender) = &mut self.listening[index];
            if sender.is_closed() {
                self.listening.swap_remove(index);
                continue;
            }
            index += 1;
            let Ok(room) = sender.try_reserve() else { continue };
            match settle(&self.session, &patience, || listener.accept()) {
                Ok(Some(channel)) => {
                    let (theirs, ours) = duplex(BUFFER);
                    room.send(theirs);
                    self.joints.push(Joint::new(channel, ours, None));
                    moved = true;
                }
                Ok(None) => {}
                // "Channel not found": nothing was waiting, as something else had arrived.
                Err(Stop::Fault(Fault::Ssh(error))) if is_of_one_channel(&error) => {}
                Err(stop) => return Err(stop),
            }
        }
        Ok(moved)
    }

    /// Asks the machine for a sign of life where one is wanted. Returns whether there was one.
    fn feel_pulse(&mut self) -> Result<bool, Stop> {
        let pulse = &mut self.pulse;
        if pulse.silence > SILENCE {
            return Err(Stop::Silent(SILENCE));
        }
        if !pulse.asked && pulse.silence >= KEEPALIVE {
            pulse.asked = true;
        }
        if !pulse.asked {
            return Ok(false);
        }
        let session = &self.session;
        let Some(channel) = &mut pulse.channel else {
            if !self.waiting.iter().any(|(order, _)| matches!(order, Order::Pulse)) {
                self.waiting.push_back((Order::Pulse, None));
            }
            return Ok(false);
        };
        match settle(session, &patience, || channel.setenv("MACHINE_PULSE", "1")) {
            Ok(None) => return Ok(false),
            Ok(Some(())) => {}
            Err(Stop::Fault(Fault::Ssh(error))) if is_of_one_channel(&error) => {}
            Err(stop) => return Err(stop),
        }
        pulse.asked = false;
        Ok(true)
    }
}

enum Opened {
    Channel(Channel),
    Listener(Listener, u16),
}

/// Opens a channel for a command and starts it there, in as many calls as it takes.
fn start(session: &Session, channel: &mut Option<Channel>, command: &str) -> Result<Option<Opened>, Stop> {
    let opened = match channel {
        Some(channel) => channel,
        None => match settle(session, &patience, || session.ssh.channel_session())? {
            Some(opened) => channel.insert(opened),
            None => return Ok(None),
        },
    };
    let started = settle(session, &patience, || opened.exec(command))?;
    Ok(started.and_then(|()| channel.take()).map(Opened::Channel))
}
