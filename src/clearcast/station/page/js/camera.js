/** Camera dialog: takes a photo with a camera of this device, or falls back to its camera app or files. */

import { button, el, icon, newId } from "./dom.js";
import { chooseFiles, submitFiles } from "./drop-zone.js";

const VIDEO_CONSTRAINTS = { facingMode: { ideal: "environment" }, width: { ideal: 1920 }, height: { ideal: 1080 } };
const JPEG_QUALITY = 0.95;

/** Open the camera dialog. Browsers allow camera access only over HTTPS or from localhost. */
export function openCamera() {
  if (!navigator.mediaDevices?.getUserMedia) return chooseFiles({ camera: true });
  const video = el("video", { autoplay: true, muted: true, playsinline: true, "aria-label": "Camera preview" });
  video.muted = true;
  const body = el("div", { class: "stack" }, el("p", { class: "quiet" }, "Requesting camera access …"));
  const dialog = el("dialog", { class: "dialog camera", "aria-label": "Camera" }, body);
  const close = () => dialog.close();
  dialog.addEventListener("close", () => (stopStream(video), dialog.remove()));
  document.body.append(dialog);
  dialog.showModal();
  return startStream(video, VIDEO_CONSTRAINTS).then(
    async () => dialog.open ? body.replaceChildren(...(await cameraControls(video, close))) : stopStream(video),
    (error) => body.replaceChildren(...cameraError(error, close)),
  );
}

async function startStream(video, constraints) {
  stopStream(video);
  video.srcObject = await navigator.mediaDevices.getUserMedia({ video: constraints });
  await video.play();
}

function stopStream(video) {
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
}

async function cameraControls(video, close) {
  const shoot = async () => {
    const file = await captureFrame(video);
    close();
    submitFiles([file]);
  };
  const shutter = button({ class: "primary large", autofocus: true, onclick: shoot }, icon("camera"), "Take photo");
  return [video, await cameraSelect(video), el("div", { class: "row" }, shutter, button({ onclick: close }, "Close"))].filter(Boolean);
}

/** Create the camera selector; null if there is only one camera. */
async function cameraSelect(video) {
  const cameras = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
  if (cameras.length < 2) return null;
  const selected = video.srcObject.getVideoTracks()[0]?.getSettings().deviceId;
  const id = newId("camera");
  const options = cameras.map(({ deviceId, label }, index) => el("option", { value: deviceId, selected: deviceId === selected }, label || `Camera ${index + 1}`));
  const select = el("select", { id, onchange: () => startStream(video, { ...VIDEO_CONSTRAINTS, facingMode: undefined, deviceId: { exact: select.value } }) }, ...options);
  return el("div", { class: "field" }, el("label", { for: id }, "Camera"), select);
}

async function captureFrame(video) {
  const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY));
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "").replace("T", "-");
  return new File([blob], `photo-${stamp}.jpg`, { type: "image/jpeg" });
}

function cameraError(error, close) {
  const denied = error.name === "NotAllowedError";
  const why = denied ? "Camera access is blocked. Allow it in the browser's address bar, or:" : "No camera found.";
  const chooseInstead = () => {
    close();
    chooseFiles({ camera: true });
  };
  return [
    el("h2", {}, "Camera not available"),
    el("p", {}, why),
    el("div", { class: "row" }, button({ class: "primary", onclick: chooseInstead }, "Choose an image"), button({ onclick: close }, "Close")),
  ];
}
