//! Thrift on tokio, with the protocol of the `thrift` crate, in the way its compiler would write it,
//! less what this service does not use. The crate's own server is not used: it has a thread for each
//! connection, and leaves Nagle's algorithm on, which holds each answer up for 40 ms.

use ::thrift::protocol::{
    TBinaryInputProtocol, TBinaryOutputProtocol, TFieldIdentifier, TInputProtocol,
    TMessageIdentifier, TMessageType, TOutputProtocol, TStructIdentifier, TType,
};
use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::faceplates::template::measured;

/// `call_json(kind, function, arguments, options)`, framed, binary.
pub async fn serve(socket: TcpStream) -> Result<()> {
    let mut socket = BufReader::new(socket);
    loop {
        let length = socket.read_u32().await?;
        let mut message = vec![0; usize::try_from(length)?];
        socket.read_exact(&mut message).await?;
        let mut answer = Vec::new();
        let mut output = TBinaryOutputProtocol::new(&mut answer, true);
        call_json(
            &mut TBinaryInputProtocol::new(&message[..], true),
            &mut output,
        )?;
        socket.write_all(&measured(&answer)).await?;
    }
}

fn call_json(input: &mut impl TInputProtocol, output: &mut impl TOutputProtocol) -> Result<()> {
    let message = input.read_message_begin()?;
    let mut arguments = String::new();
    input.read_struct_begin()?;
    loop {
        let field = input.read_field_begin()?;
        match (field.field_type, field.id) {
            (TType::Stop, _) => break,
            (_, Some(3)) => arguments = input.read_string()?,
            (other, _) => input.skip(other)?,
        }
        input.read_field_end()?;
    }
    input.read_struct_end()?;
    input.read_message_end()?;
    let result = std::str::from_utf8(super::echo(arguments.as_bytes())?)?;
    let reply = TMessageType::Reply;
    let answer = TMessageIdentifier::new(message.name, reply, message.sequence_number);
    output.write_message_begin(&answer)?;
    output.write_struct_begin(&TStructIdentifier::new("call_json_result"))?;
    output.write_field_begin(&TFieldIdentifier::new("result", TType::String, 0))?;
    output.write_string(result)?;
    output.write_field_end()?;
    output.write_field_stop()?;
    output.write_struct_end()?;
    output.write_message_end()?;
    output.flush()?;
    Ok(())
}
