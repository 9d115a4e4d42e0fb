//! The writers of rooms: they decide under the room's lock, build and sign the PDU on the room's head, and append it.
