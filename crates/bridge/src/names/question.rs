//! From the bytes of a query to what is to be done, and from what was found to the bytes of an answer. No I/O.

use std::net::Ipv4Addr;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};

/// How long an answer of the system may be kept, seconds: the system itself does not say, and a VPN may come up.
const TTL: u32 = 10;
/// The names of this computer, as Docker Desktop's users and ours expect them.
const THIS_COMPUTER: [&str; 3] = ["host.docker.internal", "host.machine.internal", "gateway.docker.internal"];
/// Where a guest of QEMU's user network reaches this computer's loopback.
const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The longest datagram that is sent to a client that did not say what it takes, bytes (RFC 1035, 4.2.1).
const LONGEST_DATAGRAM: usize = 512;

/// What a query comes to.
#[derive(Debug)]
pub(super) enum Plan {
    /// This is the answer.
    Answer(Vec<u8>),
    /// The system is asked for the addresses of a name.
    LookUp(Asked),
    /// The system's name servers get the query as it is.
    Forward(Asked),
    /// It deserves no answer.
    Ignore,
}

/// A query that can be answered.
#[derive(Debug)]
pub(super) struct Asked {
    reply: Message,
    longest: usize,
}

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Its addresses; none when it has none of this kind.
    Addresses(Vec<Ipv4Addr>),
    /// There is no such name.
    NoName,
    /// It could not be found out.
    Failed,
}

/// Decides what is done with `bytes`, which came as a datagram or over a stream.
pub(super) fn plan(bytes: &[u8], datagram: bool) -> Plan {
    let Ok(query) = Message::from_vec(bytes) else {
        // Two bytes by which the client knows what it asked, and the bit that tells questions from answers.
        return match bytes {
            [high, low, flags, ..] if bytes.len() >= 12 && flags & 0x80 == 0 => {
                let id = u16::from_be_bytes([*high, *low]);
                Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec().map_or(Plan::Ignore, Plan::Answer)
            }
            _ => Plan::Ignore,
        };
    };
    if query.metadata.message_type != MessageType::Query {
        return Plan::Ignore;
    }
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.queries.clone_from(&query.queries);
    let longest = if datagram { usize::from(query.max_payload()).max(LONGEST_DATAGRAM) } else { usize::from(u16::MAX) };
    let asked = Asked { reply, longest };
    if query.metadata.op_code != OpCode::Query {
        return asked.refuse(ResponseCode::NotImp);
    }
    let [question] = query.queries.as_slice() else { return asked.refuse(ResponseCode::FormErr) };
    if question.query_class != DNSClass::IN {
        return Plan::Forward(asked);
    }
    let name = plain_name(question);
    if THIS_COMPUTER.contains(&name.as_str()) {
        let addresses = if question.query_type == RecordType::A { vec![HOST] } else { Vec::new() };
        return asked.answer(&Found::Addresses(addresses)).map_or(Plan::Ignore, Plan::Answer);
    }
    match question.query_type {
        RecordType::A => Plan::LookUp(asked),
        // The guest's network has no IPv6: an address that it cannot reach would only be tried first.
        RecordType::AAAA => asked.answer(&Found::Addresses(Vec::new())).map_or(Plan::Ignore, Plan::Answer),
        _ => Plan::Forward(asked),
    }
}

impl Asked {
    /// The name that is asked for: lower case, without the dot at its end.
    pub(super) fn name(&self) -> String {
        self.reply.queries.first().map(plain_name).unwrap_or_default()
    }

    /// The answer. None when it cannot be written.
    pub(super) fn answer(mut self, found: &Found) -> Option<Vec<u8>> {
        match found {
            Found::NoName => self.reply.metadata.response_code = ResponseCode::NXDomain,
            Found::Failed => self.reply.metadata.response_code = ResponseCode::ServFail,
            Found::Addresses(addresses) => {
                let name = self.reply.queries.first()?.name.clone();
                for address in addresses {
                    // What the names of this computer mean here is itself, and not the container that asks.
                    let address = if address.is_loopback() { HOST } else { *address };
                    self.reply.add_answer(Record::from_rdata(name.clone(), TTL, RData::A(A(address))));
                }
            }
        }
        let bytes = self.reply.to_vec().ok()?;
        if bytes.len() <= self.longest {
            return Some(bytes);
        }
        // It asks again over a stream.
        self.reply.answers.clear();
        self.reply.metadata.truncation = true;
        self.reply.to_vec().ok()
    }

    fn refuse(mut self, code: ResponseCode) -> Plan {
        self.reply.metadata.response_code = code;
        self.reply.to_vec().map_or(Plan::Ignore, Plan::Answer)
    }
}

fn plain_name(question: &Query) -> String {
    question.name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::Name;
    use proptest::prelude::*;

    use super::*;

    fn query(name: &str, kind: RecordType) -> Vec<u8> {
        let mut message = Message::query();
        message.metadata.id = 7;
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message.to_vec().unwrap()
    }

    fn answered(plan: Plan) -> Message {
        let Plan::Answer(bytes) = plan else { panic!("{plan:?}") };
        let message = Message::from_vec(&bytes).unwrap();
        assert_eq!((message.metadata.id, message.metadata.message_type), (7, MessageType::Response));
        message
    }

    fn addresses(message: &Message) -> Vec<Ipv4Addr> {
        message
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::A(a) => Some(a.0),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn this_computer_has_its_names_in_any_case_and_no_ipv6() {
        for name in ["host.docker.internal.", "HOST.docker.Internal.", "host.machine.internal."] {
            assert_eq!(addresses(&answered(plan(&query(name, RecordType::A), true))), [HOST]);
            let none = answered(plan(&query(name, RecordType::AAAA), true));
            assert_eq!((none.metadata.response_code, none.answers.len()), (ResponseCode::NoError, 0));
        }
    }

    #[test]
    fn addresses_are_looked_up_other_types_forwarded_and_ipv6_is_none() {
        assert!(
            matches!(plan(&query("a.example.", RecordType::A), true), Plan::LookUp(asked) if asked.name() == "a.example")
        );
        for kind in [RecordType::MX, RecordType::TXT, RecordType::SRV, RecordType::PTR, RecordType::HTTPS] {
            assert!(matches!(plan(&query("a.example.", kind), true), Plan::Forward(_)), "{kind}");
        }
        assert!(answered(plan(&query("a.example.", RecordType::AAAA), true)).answers.is_empty());
    }

    #[test]
    fn what_the_system_found_is_what_the_client_hears() {
        let asked = || match plan(&query("a.example.", RecordType::A), true) {
            Plan::LookUp(asked) => asked,
            other => panic!("{other:?}"),
        };
        let hears = |found: &Found| Message::from_vec(&asked().answer(found).unwrap()).unwrap();
        let two = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];
        assert_eq!(addresses(&hears(&Found::Addresses(two.to_vec()))), two);
        assert_eq!(hears(&Found::NoName).metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(hears(&Found::Failed).metadata.response_code, ResponseCode::ServFail);
        let loopback = hears(&Found::Addresses(vec![Ipv4Addr::new(127, 0, 1, 1)]));
        assert_eq!(addresses(&loopback), [HOST], "an address of this computer's own is this computer");
    }

    #[test]
    fn what_is_too_long_for_a_datagram_is_asked_again_over_a_stream() {
        let many = Found::Addresses((1..=60).map(|last| Ipv4Addr::new(192, 0, 2, last)).collect());
        for (datagram, whole) in [(true, false), (false, true)] {
            let Plan::LookUp(asked) = plan(&query("a.example.", RecordType::A), datagram) else { panic!() };
            let message = Message::from_vec(&asked.answer(&many).unwrap()).unwrap();
            assert_eq!((message.metadata.truncation, message.answers.len()), (!whole, if whole { 60 } else { 0 }));
        }
    }

    #[test]
    fn answers_get_no_answer_and_nonsense_is_called_that() {
        let mut response = query("a.example.", RecordType::A);
        response[2] |= 0x80;
        assert!(matches!(plan(&response, true), Plan::Ignore));
        let mut torn = query("a.example.", RecordType::A);
        torn.truncate(14);
        assert_eq!(answered(plan(&torn, true)).metadata.response_code, ResponseCode::FormErr);
        assert!(matches!(plan(&[0, 7], true), Plan::Ignore));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, datagram: bool) {
            let _ = plan(&bytes, datagram);
        }

        #[test]
        fn a_query_with_any_byte_changed_is_survived_and_never_answered_for_another(at in 0_usize..28, byte: u8) {
            let mut bytes = query("a.example.", RecordType::A);
            let length = bytes.len();
            bytes[at % length] = byte;
            match plan(&bytes, true) {
                Plan::Answer(answer) => prop_assert_eq!(&answer[..2], &bytes[..2]),
                Plan::LookUp(asked) | Plan::Forward(asked) => {
                    let answer = asked.answer(&Found::Failed).unwrap();
                    prop_assert_eq!(&answer[..2], &bytes[..2]);
                }
                Plan::Ignore => {}
            }
        }
    }
}
