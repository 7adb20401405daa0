// The page around the terminal: forgets the token once it is a cookie, gives the terminal the keyboard, opens it again.
"use strict";

// The address bar and the history keep no secret, and textual.js reads no options from the address.
window.history.replaceState(null, "", window.location.pathname);

function focusTerminal() {
  const input = document.querySelector(".xterm-helper-textarea");
  if (input) input.focus();
}

window.addEventListener("DOMContentLoaded", () => {
  document.getElementById("again").addEventListener("click", () => window.location.reload());
  new MutationObserver(focusTerminal).observe(document.body, { attributes: true, attributeFilter: ["class"] });
});
window.addEventListener("focus", focusTerminal);
