/** Photographs with a camera of this device; where the page may not use one, the device's own camera or its files. */

import { button, el, newId } from "./dom.js";
import { icon } from "./icons.js";
import { choose, receive } from "./receiving.js";

const WANTED = { facingMode: { ideal: "environment" }, width: { ideal: 1920 }, height: { ideal: 1080 } };
const QUALITY = 0.95; // of the JPEG

/** Open the camera; browsers lend it only to pages from this machine or over HTTPS. */
export function photograph() {
  if (!navigator.mediaDevices?.getUserMedia) return choose({ camera: true });
  const video = el("video", { autoplay: true, muted: true, playsinline: true, "aria-label": "What the camera sees" });
  video.muted = true;
  const body = el("div", { class: "stack" }, el("p", { class: "quiet" }, "Asking for the camera …"));
  const dialog = el("dialog", { class: "dialog camera", "aria-label": "Photograph" }, body);
  const close = () => dialog.close();
  dialog.addEventListener("close", () => (stop(video), dialog.remove()));
  document.body.append(dialog);
  dialog.showModal();
  return start(video, WANTED).then(
    async () => dialog.open ? body.replaceChildren(...(await lens(video, close))) : stop(video),
    (error) => body.replaceChildren(...without(error, close)),
  );
}

async function start(video, wanted) {
  stop(video);
  video.srcObject = await navigator.mediaDevices.getUserMedia({ video: wanted });
  await video.play();
}

function stop(video) {
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
}

async function lens(video, close) {
  const shoot = async () => {
    const file = await still(video);
    close();
    receive([file]);
  };
  const shutter = button({ class: "primary large", autofocus: true, onclick: shoot }, icon("camera"), "Take the picture");
  return [video, await choice(video), el("div", { class: "row" }, shutter, button({ onclick: close }, "Close"))].filter(Boolean);
}

/** Which camera, where there are several. */
async function choice(video) {
  const cameras = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
  if (cameras.length < 2) return null;
  const used = video.srcObject.getVideoTracks()[0]?.getSettings().deviceId;
  const id = newId("camera");
  const options = cameras.map(({ deviceId, label }, index) => el("option", { value: deviceId, selected: deviceId === used }, label || `Camera ${index + 1}`));
  const select = el("select", { id, onchange: () => start(video, { ...WANTED, facingMode: undefined, deviceId: { exact: select.value } }) }, ...options);
  return el("div", { class: "field" }, el("label", { for: id }, "Camera"), select);
}

async function still(video) {
  const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "").replace("T", "-");
  return new File([blob], `photo-${stamp}.jpg`, { type: "image/jpeg" });
}

function without(error, close) {
  const denied = error.name === "NotAllowedError";
  const why = denied ? "This page may not use the camera. Allow it beside the browser's address bar, or:" : "There is no camera that this page can use.";
  const other = () => {
    close();
    choose({ camera: true });
  };
  return [
    el("h2", {}, "No camera"),
    el("p", {}, why),
    el("div", { class: "row" }, button({ class: "primary", onclick: other }, "Use a picture of this device"), button({ onclick: close }, "Close")),
  ];
}
