use super::{HandshakeError, PACKET_LENGTH, RANDOM_LENGTH, VERSION, check_version};

/// S0, S1 and S2.
const ANSWER_LENGTH: usize = 1 + 2 * PACKET_LENGTH;

/// The client's side of one handshake, in the simple form, which servers take. What the server echoes (S2) is not checked.
#[derive(Debug)]
pub struct ClientHandshake {
    received: Vec<u8>,
}

impl ClientHandshake {
    /// Appends C0 and C1 to `output`. `random` goes into C1; it need not be secret, only different for each connection.
    pub fn begin(random: &[u8; RANDOM_LENGTH], output: &mut Vec<u8>) -> Self {
        output.push(VERSION);
        output.extend_from_slice(&[0; PACKET_LENGTH - RANDOM_LENGTH]);
        output.extend_from_slice(random);
        Self { received: Vec::new() }
    }

    /// Takes what belongs to the handshake off the front of `input`, and appends C2 to `output` once S1 is there.
    /// Returns whether the handshake is over; what then is left of `input` is the chunk stream.
    ///
    /// # Errors
    /// [`HandshakeError`] as soon as the first byte shows that the server does not speak plain RTMP.
    pub fn read(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Result<bool, HandshakeError> {
        let had_s1 = self.s1().is_some();
        let wanted = ANSWER_LENGTH - self.received.len();
        let (taken, rest) = input.split_at(wanted.min(input.len()));
        self.received.extend_from_slice(taken);
        *input = rest;
        self.received.first().map_or(Ok(()), |&version| check_version(version))?;
        if let Some(s1) = self.s1().filter(|_| !had_s1) {
            output.extend_from_slice(s1);
        }
        Ok(self.received.len() == ANSWER_LENGTH)
    }

    fn s1(&self) -> Option<&[u8]> {
        self.received.get(1..=PACKET_LENGTH)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Handshake;
    use super::*;

    #[test]
    fn both_sides_agree_at_every_split() {
        let (c1, s1) = ([3; RANDOM_LENGTH], Box::new([7; RANDOM_LENGTH]));
        let mut hello = Vec::new();
        ClientHandshake::begin(&c1, &mut hello);
        assert_eq!(hello.len(), 1 + PACKET_LENGTH);
        let mut server = Handshake::new(s1);
        let mut answer = Vec::new();
        assert_eq!(server.read(&mut &hello[..], &mut answer), Ok(false));
        answer.extend_from_slice(b"chunks");
        for split in 0..answer.len() {
            let mut client = ClientHandshake::begin(&c1, &mut Vec::new());
            let (mut first, mut second) = answer.split_at(split);
            let mut echo = Vec::new();
            let done_early = client.read(&mut first, &mut echo).unwrap();
            assert_eq!(echo.len(), if split > PACKET_LENGTH { PACKET_LENGTH } else { 0 }, "split at {split}");
            assert!(client.read(&mut second, &mut echo).unwrap());
            assert_eq!(echo, answer[1..=PACKET_LENGTH], "once, and as it came");
            let rest = if done_early { [first, second].concat() } else { second.to_vec() };
            assert_eq!(rest, b"chunks", "split at {split}");
        }
        assert_eq!(server.read(&mut &answer[1..=PACKET_LENGTH], &mut Vec::new()), Ok(true));
    }

    #[test]
    fn a_server_that_speaks_something_else_is_found_out() {
        let mut client = ClientHandshake::begin(&[0; RANDOM_LENGTH], &mut Vec::new());
        assert_eq!(client.read(&mut &b"HTTP/1.1"[..], &mut Vec::new()), Err(HandshakeError::Http));
    }
}
