// Opened from a folder, a page may load neither modules nor workers. This script says what to do.
"use strict";
if (location.protocol === "file:") {
  document.getElementById("status").textContent = "Not ready";
  document.getElementById("alert").hidden = false;
  document.getElementById("alert").textContent =
    "This page must come from a web server. In its folder run: python -m http.server --bind 127.0.0.1 8000, and open http://127.0.0.1:8000/";
}
