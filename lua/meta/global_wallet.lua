---@meta _
-- Made by `coxswain meta` from the descriptions of the bindings: edit those, not this.

--- Signing for the participant; the key itself is out of reach.
---@class coxswain.globals.wallet
wallet = {}

--- The participant's compressed public key, 33 bytes; nil and why when nothing here can sign.
---@return string?
---@return string?
function wallet.public_key() end

--- Signs SHA-256 of the document: r and s, 64 bytes. Asks the external signer when there is one, and waits for it. nil and why.
---@param document string
---@return string?
---@return string?
function wallet.sign(document) end

--- SHA-256, 32 bytes.
---@param bytes string
---@return string
function wallet.sha256(bytes) end
